"""A measurement in its own process: ``python -m bench.worker <task> <options as JSON>``.

Prints one line of JSON. Memory is that of this process alone, from its beginning.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

Result = dict[str, Any]


def peak_bytes() -> int:
    """The peak of this process's memory.

    getrusage's peak is inherited from the parent process; Linux reports the process's own.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))
        if found:
            return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _measured(work: Callable[[], object]) -> Result:
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "peak": peak_bytes(),
    }


def poll() -> Result:
    """A poll of SentinelOne as its timer does it, in a process that has polled before."""
    from shared.connectors.sentinelone import CONNECTOR
    from shared.polling.run import poll as poll_once

    with _setting("SentinelOneStreams", "threats"):  # the tenant has none
        poll_once(CONNECTOR)
    runs: list[Any] = []
    result = _measured(lambda: runs.extend(poll_once(CONNECTOR)))
    result["statuses"] = [run.status for run in runs]
    result["vendor_requests"] = sum(run.requests for run in runs)
    return result


@contextlib.contextmanager
def _setting(name: str, value: str) -> Iterator[None]:
    before = os.environ[name]
    os.environ[name] = value
    yield
    os.environ[name] = before


def straightforward() -> Result:
    """The same records the straightforward way, in a process that has done it before."""
    from bench.straightforward import copy_activities, straightforward_client

    now = datetime.now(UTC)
    start, end = (
        moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for moment in (now - timedelta(hours=24), now)
    )
    client = straightforward_client(os.environ)
    copy_activities(client, os.environ, end, end)
    return _measured(lambda: copy_activities(client, os.environ, start, end))


def idle() -> Result:
    """Two polls of both vendors with nothing new; the second is measured."""
    from shared.connectors import jira, sentinelone
    from shared.polling.run import poll as poll_once
    from shared.state.checkpoint import StreamCheckpoint

    writes: list[str] = []
    write = StreamCheckpoint._put

    def counted(self: StreamCheckpoint, *arguments: Any, **options: Any) -> str:
        writes.append(self.stream)
        return write(self, *arguments, **options)

    StreamCheckpoint._put = counted  # type: ignore[method-assign]
    connectors = (sentinelone.CONNECTOR, jira.CONNECTOR)
    for connector in connectors:
        poll_once(connector)
    first = len(writes)
    runs: list[Any] = []
    result = _measured(lambda: runs.extend(run for each in connectors for run in poll_once(each)))
    result["requests"] = {run.stream: run.requests for run in runs}
    result["writes"] = {run.stream: writes[first:].count(run.stream) for run in runs}
    result["statuses"] = [run.status for run in runs]
    return result


def cold_start() -> Result:
    """From the first import to the moment the first request leaves for the vendor."""
    vendor_port = int(os.environ["SentinelOneUrl"].split(":")[2].split("/")[0])  # noqa: SIM112
    reached: list[float] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect" and arguments[1][1:2] == (vendor_port,):
            reached.append(time.perf_counter())

    sys.addaudithook(hook)
    _import_as_the_worker()
    began, cpu = time.perf_counter(), time.process_time()
    import SentinelOneTimer

    imported = time.process_time() - cpu
    SentinelOneTimer.main(None)  # type: ignore[arg-type]
    return {"seconds": reached[0] - began, "import_cpu": imported}


def import_sdks() -> Result:
    """Import alone the Azure SDK clients that a poll needs: with a lease, those of blobs too."""

    def work() -> None:
        from azure.data.tables import TableClient  # noqa: F401
        from azure.identity import DefaultAzureCredential  # noqa: F401
        from azure.monitor.ingestion import LogsIngestionClient  # noqa: F401
        from azure.storage.blob import ContainerClient  # noqa: F401

    _import_as_the_worker()
    return _measured(work)


def _import_as_the_worker() -> None:
    """Import the module that Microsoft's worker imports before it loads functions.

    aiohttp and its yarl are the local vendors' alone. A deployed app does not have them, and
    azure-storage-blob imports them where it finds them, so they must not be found here.
    """
    for absent in ("aiohttp", "yarl"):
        sys.modules[absent] = None  # type: ignore[assignment]
    import azure.functions  # noqa: F401


def hand_out() -> Result:
    """A tick of SentinelOne's timer over several connections."""
    from shared.connectors.sentinelone import CONNECTOR
    from shared.polling.handing_out import tick

    return _measured(lambda: tick(CONNECTOR))


def poll_connections(rounds: int) -> Result:
    """Work the queue connection-polls off, after each of ``rounds`` ticks; the last is measured."""
    from local.host.host import Host
    from tools.project import ROOT

    host = Host(ROOT)
    polls = [0]

    def work_off() -> None:
        polls[0] = 0
        while found := host.poll("ConnectionPoll"):
            polls[0] += found

    for _ in range(rounds - 1):
        hand_out()
        work_off()
    if rounds:
        hand_out()
    return {**_measured(work_off), "polls": polls[0]}


def main() -> None:
    """Run the task that the command line names: one of this module, or like ``spool.drained``."""
    task, options = sys.argv[1:3]
    module, _, function = task.rpartition(".")
    tasks = vars(importlib.import_module(f"bench.{module}")) if module else globals()
    print(json.dumps(tasks[function](**json.loads(options))))


if __name__ == "__main__":
    main()
