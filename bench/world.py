"""Vendors, Azure Monitor and storage in their processes, and the worker that is measured."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from local.azure.azurite import Azurite
from tools.project import ROOT

LATENCY = 0.05
# Keep this machine's settings from the worker: pass these variables alone.
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV")


class WorkerFailed(Exception):
    """A worker failed; the message ends with its error output."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server process: its addresses, and its id, for its processor time."""

    addresses: Mapping[str, str]
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time so far in seconds; 0 where the system does not report it (not Linux)."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
        except OSError:
            return 0.0
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class World:
    """The servers that a worker needs; ``settings`` are the app's."""

    def __init__(self, vendor: Server, monitor: Server, azurite: Azurite) -> None:
        self.vendor = vendor
        self.monitor = monitor
        self._azurite = azurite
        self._received = monitor.addresses["LogsIngestionEndpoint"] + "/local/received"
        self._tenants = count(1)
        self.settings = {
            **monitor.addresses,
            "AzureWebJobsStorage": azurite.connection_string,
            "SentinelOneAPIToken": "made-up",
            "SentinelOneRequestsPerSecond": "10000",
        }

    def tenant(self, records: int, kind: str = "") -> str:
        """The address of a new tenant with so many activities of a ``kind`` of bench.vendor."""
        vendor = self.vendor.addresses["url"]
        self._ask(f"{vendor}/local/prepare/{records}")
        return f"{vendor}/{records}-{next(self._tenants)}-{kind}"

    def received(self, stream: str) -> dict[str, int]:
        """Azure Monitor's totals since ``forget``: requests, records, distinct, bytes."""
        totals = json.loads(self._ask(self._received)).get(stream, {})
        return {str(name): int(value) for name, value in totals.items()}

    def forget(self) -> None:
        """Reset Azure Monitor's totals."""
        self._ask(self._received, "DELETE")

    def vendor_requests(self, tenant: str) -> list[str]:
        """The paths of all requests to a tenant so far."""
        prefix = tenant.removeprefix(self.vendor.addresses["url"])
        asked: list[str] = json.loads(self._ask(self.vendor.addresses["url"] + "/local/requests"))
        return [path.removeprefix(prefix) for path in asked if path.startswith(prefix + "/")]

    def _ask(self, url: str, method: str = "GET") -> bytes:
        trusted = ssl.create_default_context(cafile=self.monitor.addresses["REQUESTS_CA_BUNDLE"])
        request = urllib.request.Request(url, method=method)  # noqa: S310  (loopback)
        with urllib.request.urlopen(request, context=trusted) as answer:  # noqa: S310
            content: bytes = answer.read()
        return content

    def cpu_of_others(self) -> float:
        """Processor seconds so far of all other work; 0 where the system reports none."""
        stat = Path("/proc/stat")
        if not stat.exists():
            return 0.0
        ticks = [
            int(field) for field in stat.read_text(encoding="ascii").split("\n")[0].split()[1:]
        ]
        busy = sum(ticks[:3]) + sum(ticks[5:8])
        mine = os.times()
        ended = mine.user + mine.system + mine.children_user + mine.children_system
        running = self.vendor.cpu_seconds() + self.monitor.cpu_seconds()
        running += Server({}, self._azurite.pid).cpu_seconds()
        return busy / os.sysconf("SC_CLK_TCK") - ended - running

    def work(self, task: str, settings: Mapping[str, str], **options: Any) -> dict[str, Any]:
        """Run ``bench.worker``'s ``task`` in a new process; return its result."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        done = subprocess.run(
            [sys.executable, "-m", "bench.worker", task, json.dumps(options)],
            cwd=ROOT,
            env={**kept, **self.settings, **settings},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise WorkerFailed(f"{task}: exit {done.returncode}\n{done.stderr[-3000:]}")
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result


@contextlib.contextmanager
def world(latency: float = LATENCY) -> Iterator[World]:
    """Run the servers; they end with this process, also when it is killed."""
    delay = ["--latency", str(latency)]
    # azure-monitor-ingestion does not count the separators of a call: up to 2 KB too much.
    lenient = ["--body-bytes", "1100000"]
    with contextlib.ExitStack() as stack:
        azurite = stack.enter_context(Azurite())
        monitor = stack.enter_context(
            _server(
                "local.azure.logs_ingestion", "--keep", "ids", "--no-rate-limit", *lenient, *delay
            )
        )
        vendor = stack.enter_context(_server("bench.vendor", *delay))
        yield World(vendor, monitor, azurite)


@contextlib.contextmanager
def _server(module: str, *arguments: str) -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Server(json.loads(process.stdout.readline()), process.pid)
        finally:
            process.stdin.close()
