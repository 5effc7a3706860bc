"""`python3 -m tools start`: the app on this machine, with the settings of local.settings.json.

Timers tick on their real schedules and the webhook listens on loopback. What the settings do not
say is local: without a storage account the emulator, without a destination the local workspace.
"""

from __future__ import annotations

import argparse
import difflib
import json
import logging
import os
import socket
import sys
from collections.abc import Collection
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from local.host import ROOT, Host, wait_for_interrupt
from local.query import WORKSPACE
from local.world import FOLDER, SIGN_IN, destination, environment, storage
from shared.errors import SettingsError
from shared.settings import (
    SETTINGS,
    read_destination,
    read_jira,
    read_onelogin,
    read_sentinelone,
)

SETTINGS_FILE = ROOT / "local.settings.json"
VENDORS = ("SentinelOneUrl", "JiraHomeSiteName", "OneLoginBearerToken")
PORT = 7071
EMULATOR = {"", "UseDevelopmentStorage=true"}


class SettingsFileInvalid(Exception):
    """local.settings.json cannot be read; the message says what to do."""


def read_settings(path: Path = SETTINGS_FILE) -> dict[str, str]:
    """The `Values` of local.settings.json, under what the environment says already."""
    if not path.exists():
        raise SettingsFileInvalid(
            f"{path.name} is missing: copy local.settings.json.example to it and fill it in. "
            "To see the app at work without any vendor: python3 -m tools demo"
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))["Values"]
        settings = {name: value for name, value in values.items() if isinstance(value, str)}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsFileInvalid(
            f'{path.name} is not JSON with an object "Values": {error}'
        ) from error
    filled = {name: value.strip() for name, value in settings.items() if value.strip()}
    known = {setting.name for setting in SETTINGS}
    for name in filled.keys() - known:
        if meant := _meant(name, known):
            print(f"{path.name}: there is no setting {name}; {meant} may be meant.")
    given = {
        name: value
        for name, value in os.environ.items()
        if name in filled or name.partition("__")[0] in known or name.startswith(SIGN_IN)
    }
    return {**filled, **given}


def _meant(name: str, known: Collection[str]) -> str | None:
    """The setting that is written nearly like ``name``, if one is."""
    lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.8)
    return lower[found[0]] if found else None


def main(arguments: list[str]) -> int:
    """Runs until Ctrl+C."""
    parser = argparse.ArgumentParser(prog="python3 -m tools start", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help="the webhook's (7071)")
    parser.add_argument("--now", action="store_true", help="tick every timer once at the start")
    parser.add_argument("--settings", type=Path, default=SETTINGS_FILE)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for what is local (.local)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("azure").setLevel(logging.WARNING)
    try:
        settings = read_settings(options.settings)
    except SettingsFileInvalid as error:
        print(error, file=sys.stderr)
        return 1
    if _taken(options.port):  # before anything else: two emulators must not share a folder
        print(
            f"Something listens on port {options.port} already, perhaps another "
            "python3 -m tools start: end it, or choose another port with --port.",
            file=sys.stderr,
        )
        return 1
    if not any(settings.get(name) for name in VENDORS):
        print(
            "No vendor is set up in local.settings.json: every connector is off. "
            "To see them at work without any vendor: python3 -m tools demo"
        )
    with ExitStack() as world:
        folder = options.folder
        settings |= local_parts(settings, world, folder / "storage", folder / WORKSPACE.name)
        world.enter_context(environment(settings))
        for problem in problems():
            print(f"Settings: {problem}", file=sys.stderr)
        host = world.enter_context(Host(port=options.port))
        _introduce(host)
        if options.now:
            for function in host.functions.values():
                if function.kind == "timerTrigger":
                    host.tick(function.name)
        host.run()
        wait_for_interrupt()
        print("Stopping, after what runs now …")
    return 0


def problems() -> list[str]:
    """What is wrong with the settings, as each part's first use would say."""
    found: list[str] = []
    for read in (read_sentinelone, read_jira, read_onelogin, read_destination):
        try:
            read()
        except SettingsError as error:
            found += error.problems
    return list(dict.fromkeys(found))


def _taken(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def local_parts(
    settings: dict[str, str],
    world: ExitStack,
    folder: Path | None,
    workspace: Path = WORKSPACE,
) -> dict[str, str]:
    """Stands in for what the settings leave out; the emulator's data in `folder`, or in memory."""
    parts: dict[str, str] = {}
    identity_storage = any(name.startswith("AzureWebJobsStorage__") for name in settings)
    if settings.get("AzureWebJobsStorage", "") in EMULATOR and not identity_storage:
        parts["AzureWebJobsStorage"] = world.enter_context(storage(folder))
        print(f"Storage: the emulator, kept in {folder or 'memory'}")
    if not settings.get("LogsIngestionEndpoint") and not settings.get("WorkspaceID"):
        parts |= world.enter_context(destination(workspace)).settings
        for name in [name for name in settings if name.startswith(SIGN_IN)]:
            del settings[name]  # the local destination has a sign-in of its own
        print("Destination: the local workspace; ask it with python3 -m tools query '…'")
    else:
        print(f"Destination: {settings.get('LogsIngestionEndpoint') or settings['WorkspaceID']}")
    return parts


def _introduce(host: Host) -> None:
    for function in host.functions.values():
        if function.kind == "timerTrigger":
            due = function.schedule.next(datetime.now(UTC))
            print(f"{function.name}: next tick {due:%H:%M:%S} UTC")
        elif function.kind == "httpTrigger":
            print(f"{function.name}: {host.url(function.name)}")
        else:
            print(f"{function.name}: polls {function.trigger['queueName']}")
    print("Ctrl+C stops.", flush=True)
