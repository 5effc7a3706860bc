"""`python3 -m tools start`: the app on this machine, with the settings of local.settings.json.

Timers tick on their real schedules and the webhook listens on loopback. The rest is local: without
a storage account in the settings the emulator, without a destination the local workspace.
"""

from __future__ import annotations

import argparse
import functools
import logging
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from azure.core.exceptions import ResourceNotFoundError

from local.commands.host_key import host_key
from local.commands.log_lines import show_logs
from local.commands.query import WORKSPACE
from local.commands.settings_file import SETTINGS_FILE, SettingsFileInvalid, read_settings
from local.host.function_json import FunctionInvalid
from local.host.host import Host
from local.loopback.folder_lock import FolderInUse, hold_folder
from local.world import FOLDER, SIGN_IN, destination, environment, storage
from shared.azure import storage as shared_storage
from shared.connections.registry import connectors
from shared.errors import SettingsError, StorageError
from shared.settings.app import read_destination, read_polling
from shared.settings.reader import read_if_set
from tools import interrupts

PORT = 7071
WAIT_SECONDS = 60.0  # for running functions, after Ctrl+C
WAIT_ON_TERM = 8.0  # after SIGTERM: what sent it kills after ten
EMULATOR = {"", "UseDevelopmentStorage=true"}
EMPTY_STORAGE = "empty and in memory; what an app started here has, its status page tells"


def main(arguments: list[str]) -> int:
    """Run until Ctrl+C."""
    parser = argparse.ArgumentParser(prog="python3 -m tools start", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help="the port of HTTP functions (7071)")
    parser.add_argument("--now", action="store_true", help="tick every timer once at the start")
    parser.add_argument("--json", action="store_true", help="log lines as Azure has them")
    parser.add_argument("--settings", type=Path, default=SETTINGS_FILE)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="storage and tables (.local)")
    options = parser.parse_args(arguments)
    interrupts.install()
    show_logs(as_json=options.json)
    try:
        settings = read_settings(options.settings)
        with (
            interrupts.raised_as_interrupt(),
            hold_folder(options.folder, "python3 -m tools start"),
        ):
            return _start(settings, options)
    except (SettingsFileInvalid, FolderInUse, CannotStart) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        logging.disable()
        print("Stopped.", flush=True)
        return interrupts.STATUS


class CannotStart(Exception):
    """A part of the app cannot run; the message is one sentence for the person."""


def _start(settings: dict[str, str], options: argparse.Namespace) -> int:
    if _is_taken(options.port):
        raise CannotStart(
            f"Something listens on port {options.port} already: end it, or choose another port "
            "with --port."
        )
    with ExitStack() as world:
        folder = options.folder
        settings |= local_parts(settings, world, folder / "storage", folder / WORKSPACE.name)
        world.enter_context(environment(settings))
        _check_storage()
        if not any(connectors_on()):
            print(
                "No vendor is set up in local.settings.json: every connector is off. "
                "To see them at work without any vendor: python3 -m tools demo"
            )
        for problem in problems():
            print(f"Settings: {problem}", file=sys.stderr)
        try:
            host = world.enter_context(Host(port=options.port, key=host_key(folder)))
            host.run(now=options.now)
        except (FunctionInvalid, ValueError) as error:
            raise CannotStart(f"The app cannot run: {error}") from error
        _introduce(host)
        with interrupts.polite() as asked:
            return _watch(host, asked)


def _check_storage() -> None:
    """Raise ``CannotStart`` where AzureWebJobsStorage is wrong or cannot be reached."""
    try:
        with shared_storage.storage_errors("Reading the app's own storage"):
            list(shared_storage.queue("delivery-retry").peek_messages())
    except ResourceNotFoundError:
        return
    except (SettingsError, StorageError) as error:
        if isinstance(error.__cause__, ResourceNotFoundError):
            return  # the first message creates the queue
        raise CannotStart(str(error)) from error


def _watch(host: Host, asked: threading.Event) -> int:
    """Wait for a signal, then for running functions; end at once where a trigger fails."""
    # Short waits: a signal that the system gives to another thread ends no longer one.
    while not asked.wait(0.2):
        if host.failed:
            name, error = host.failed[0]
            raise CannotStart(f"{name} cannot be triggered any more: {_in_a_sentence(error)}")
    host.stop()
    most = WAIT_ON_TERM if interrupts.INTERRUPTS.terminated else WAIT_SECONDS
    began = time.monotonic()
    told: set[str] = set()
    while running := host.running():
        waited = time.monotonic() - began
        if waited > most:
            print("They still run: ending all the same, as a second Ctrl+C does.", flush=True)
            interrupts.end_now()
        for name, seconds in running.items():
            if name not in told:
                told.add(name)
                print(
                    f"Waiting for {name}, which has run for {seconds:.0f} s, at most "
                    f"{most - waited:.0f} s more. Ctrl+C again ends it now; nothing is lost.",
                    flush=True,
                )
        time.sleep(0.1)
    print("Stopping …", flush=True)
    return 0


def _in_a_sentence(error: Exception) -> str:
    """An error without the SDK's further lines: request id, time, code."""
    status = getattr(error, "status_code", None)
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"HTTP {status}: {text}" if status else text


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


def connectors_on() -> Iterator[bool]:
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
        print(f"Storage: the emulator, {f'kept in {folder}' if folder else EMPTY_STORAGE}")
    if not settings.get("LogsIngestionEndpoint") and not settings.get("WorkspaceID"):
        parts |= world.enter_context(destination(workspace)).settings
        for name in [name for name in settings if name.startswith(SIGN_IN)]:
            del settings[name]  # the local destination brings its own sign-in
        where = "" if workspace == WORKSPACE else f" --folder {shlex.quote(str(workspace.parent))}"
        print(f"Destination: the local workspace; ask it with python3 -m tools query '…'{where}")
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
