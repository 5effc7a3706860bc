"""One demo or start a folder: two would share its storage emulator and deliver events twice.

The lock is the system's own (flock, or a locked region on Windows): it ends with its process,
however that ends. A note beside it says whose it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = "in-use.lock"
NOTE = "in-use.json"
# The emulator of a process that was killed saves and stops by itself.
_EMULATOR_SECONDS = 30.0
_SHORT = 0.05


class FolderInUse(Exception):
    """Another process has the folder; the message says which."""


@contextmanager
def hold_folder(folder: Path, command: str) -> Iterator[None]:
    """Hold the folder for this process. Raises ``FolderInUse``.

    ``command`` is named to those who want it meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FolderInUse(_whose(folder)) from None
    try:
        note = {
            "pid": os.getpid(),
            "command": command,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        (folder / NOTE).write_text(json.dumps(note), encoding="utf-8")
        yield
    finally:
        (folder / NOTE).unlink(missing_ok=True)
        lock.release()


def _whose(folder: Path) -> str:
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        since = datetime.fromisoformat(note["since"])
        who = f"{note['command']} (process {note['pid']}, since {since:%Y-%m-%d %H:%M:%S} UTC)"
    except (OSError, ValueError, KeyError, TypeError):
        who = "another program, which has not noted its name yet"
    return (
        f"{folder} is in use by {who}. End that one first (Ctrl+C), "
        "or name another folder with --folder."
    )


@contextmanager
def emulator_lock(folder: Path) -> Iterator[int | None]:
    """Wait for the last emulator on the folder's data; yield a lock for the next one to keep.

    The emulator inherits the lock, so that it lasts as long as the emulator itself: one whose
    parent was killed saves for some seconds more. None where the system has no such locks.
    Raises ``FolderInUse``.
    """
    if sys.platform == "win32":
        yield None
        return
    import fcntl

    lock = os.open(folder / "emulator.lock", os.O_RDWR | os.O_CREAT, 0o600)
    give_up = time.monotonic() + _EMULATOR_SECONDS
    told = False
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise FolderInUse(_emulator_stays(folder)) from None
                if not told:
                    told = True
                    print(f"Waiting for the last storage emulator on {folder} to save …")
                time.sleep(_SHORT)
        yield lock
    finally:
        os.close(lock)


def _emulator_stays(folder: Path) -> str:
    found = subprocess.run(
        ["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    mine = [line.split()[0] for line in found if "azurite" in line and str(folder) in line]
    which = f"process {', '.join(mine)}" if mine else "a process"
    return f"A storage emulator still runs on {folder}: {which}. End it, and try again."
