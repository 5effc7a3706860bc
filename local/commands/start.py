"""`python3 -m tools start`: the app on this machine, with the settings of local.settings.json.

Timers tick on their real schedules and the webhook listens on loopback. The rest is local: without
a storage account in the settings the emulator, without a destination the local workspace.
"""

from __future__ import annotations

import argparse
import functools
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from local.commands.query import WORKSPACE
from local.commands.settings_file import SETTINGS_FILE, SettingsFileInvalid, read_settings
from local.host.host import Host, wait_for_interrupt
from local.world import FOLDER, SIGN_IN, destination, environment, storage
from shared.connections.registry import connectors
from shared.errors import SettingsError
from shared.settings.app import read_destination, read_polling
from shared.settings.reader import read_if_set

PORT = 7071
EMULATOR = {"", "UseDevelopmentStorage=true"}


def main(arguments: list[str]) -> int:
    """Run until Ctrl+C."""
    parser = argparse.ArgumentParser(prog="python3 -m tools start", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help="the port of HTTP functions (7071)")
    parser.add_argument("--now", action="store_true", help="tick every timer once at the start")
    parser.add_argument("--settings", type=Path, default=SETTINGS_FILE)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="storage and tables (.local)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("azure").setLevel(logging.WARNING)
    try:
        settings = read_settings(options.settings)
    except SettingsFileInvalid as error:
        print(error, file=sys.stderr)
        return 1
    if _is_taken(options.port):  # before anything else: two emulators must not share a folder
        print(
            f"Something listens on port {options.port} already, perhaps another "
            "python3 -m tools start: end it, or choose another port with --port.",
            file=sys.stderr,
        )
        return 1
    with ExitStack() as world:
        folder = options.folder
        settings |= local_parts(settings, world, folder / "storage", folder / WORKSPACE.name)
        world.enter_context(environment(settings))
        if not any(_connectors_on()):
            print(
                "No vendor is set up in local.settings.json: every connector is off. "
                "To see them at work without any vendor: python3 -m tools demo"
            )
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
        print("Stopping, once running functions have ended …")
    return 0


def problems() -> list[str]:
    """Every problem of the settings, once each, in the words of each part's first use."""
    found: list[str] = []
    for read in (*_connector_readers(), read_polling, read_destination):
        try:
            read()
        except SettingsError as error:
            found += error.problems
    return list(dict.fromkeys(found))


def _connector_readers() -> list[Callable[[], object]]:
    """A function for each connector that reads its settings: None means that it is off."""
    return [functools.partial(read_if_set, each.settings) for each in connectors()]


def _connectors_on() -> Iterator[bool]:
    """Whether each connector is set up; one with wrong settings is."""
    for read in _connector_readers():
        try:
            yield read() is not None
        except SettingsError:
            yield True


def _is_taken(port: int) -> bool:
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
    """Start a local part for each that the settings leave out; return the settings for them.

    The emulator keeps its data in `folder`, in memory for None.
    """
    parts: dict[str, str] = {}
    identity_storage = any(name.startswith("AzureWebJobsStorage__") for name in settings)
    if settings.get("AzureWebJobsStorage", "") in EMULATOR and not identity_storage:
        parts["AzureWebJobsStorage"] = world.enter_context(storage(folder))
        print(f"Storage: the emulator, kept in {folder or 'memory'}")
    if not settings.get("LogsIngestionEndpoint") and not settings.get("WorkspaceID"):
        parts |= world.enter_context(destination(workspace)).settings
        for name in [name for name in settings if name.startswith(SIGN_IN)]:
            del settings[name]  # the local destination brings its own sign-in
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
