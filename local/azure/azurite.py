"""Microsoft's storage emulator as a child process: blobs, queues and tables on free ports."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Self

from local.loopback.folder_lock import emulator_lock
from local.loopback.service import Service
from tools.environment import WINDOWS, EnvironmentFailed, node_command
from tools.project import ROOT

# The emulator's account and key are published: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
START_SECONDS = 60
SAVE_SECONDS = 20
_NEW_GROUP = 0x00000200  # CREATE_NEW_PROCESS_GROUP of Windows
_LISTENING = re.compile(r"Azurite (\w+) service is successfully listening at (\S+)")


class Azurite(Service):
    """The emulator between start() and close(); `folder` keeps its data, None keeps it in memory.

    It ends with its parent process, also when that is killed, and saves before. Ctrl+C in a
    terminal does not reach it: a function that still runs can store its progress.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._addresses: dict[str, str] = {}

    @property
    def connection_string(self) -> str:
        """The connection string for AzureWebJobsStorage."""
        parts = {
            "DefaultEndpointsProtocol": "http",
            "AccountName": ACCOUNT,
            "AccountKey": KEY,
            **{f"{k}Endpoint": f"{v}/{ACCOUNT}" for k, v in self._addresses.items()},
        }
        return ";".join(f"{name}={value}" for name, value in parts.items())

    @property
    def pid(self) -> int:
        """The emulator's process id, for tests that stop and continue it."""
        if self._process is None:
            raise RuntimeError("Azurite is not running")
        return self._process.pid

    def start(self) -> Self:
        """Start it and wait until all three services listen."""
        program = ROOT / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
        if not program.exists():
            raise EnvironmentFailed("Azurite is missing: python3 -m tools environment installs it.")
        places = [f"--{service}Port=0" for service in ("blob", "queue", "table")]
        places += ["--location", str(self._folder)] if self._folder else ["--inMemoryPersistence"]
        options = ["--skipApiVersionCheck", "--disableTelemetry"]
        hook = Path(__file__).with_name("exit_with_parent.js")
        command = [*node_command(), "--require", str(hook), str(program), *places, *options]
        lock = emulator_lock(self._folder) if self._folder else nullcontext()
        with lock as inherited:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder or ROOT,
                env={**os.environ, "NODE_NO_WARNINGS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                pass_fds=[] if inherited is None else [inherited],
                start_new_session=not WINDOWS,
                creationflags=_NEW_GROUP if WINDOWS else 0,
            )
        self._wait_until_listening(self._process)
        return self

    def _wait_until_listening(self, process: subprocess.Popen[str]) -> None:
        output = _pipe(process.stdout)
        lines: list[str] = []
        watch = threading.Timer(START_SECONDS, process.kill)
        watch.start()
        try:
            for line in output:
                lines.append(line)
                if found := _LISTENING.search(line):
                    self._addresses[found[1]] = found[2].rstrip("/")
                if len(self._addresses) == 3:
                    break
            else:
                self.close()
                raise EnvironmentFailed("Azurite did not start:\n" + "".join(lines[-10:]))
        finally:
            watch.cancel()
        # It logs every request: unread, the pipe would fill and stop it.
        threading.Thread(target=_drain, args=(output,), name="azurite log", daemon=True).start()

    def close(self) -> None:
        """Let it save and stop; kill it after SAVE_SECONDS."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(timeout=SAVE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise RuntimeError("the child has no output")
    return stream


def _drain(output: IO[str]) -> None:
    with output:
        for _line in output:
            pass
