"""What is measured, in a process of its own: ``python -m bench.worker <task> <options as JSON>``.

Prints one line of JSON. Memory is that of this process alone, from its beginning.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

Result = dict[str, Any]


def peak_bytes() -> int:
    """The most memory this process has had.

    getrusage's peak is inherited from whoever started the process; Linux knows the process's own.
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
    """One poll of SentinelOne as the timer does it, its imports done."""
    import azure.data.tables
    import azure.identity
    import shared.delivery.logs_ingestion  # noqa: F401
    from shared.connectors.sentinelone import CONNECTOR
    from shared.polling.runner import poll as poll_once

    runs: list[Any] = []
    result = _measured(lambda: runs.extend(poll_once(CONNECTOR)))
    result["statuses"] = [run.status for run in runs]
    result["vendor_requests"] = sum(run.requests for run in runs)
    return result


def straightforward() -> Result:
    """The same records the straightforward way, its imports done."""
    from bench.straightforward import copy_activities

    now = datetime.now(UTC)
    start, end = (
        moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for moment in (now - timedelta(hours=24), now)
    )
    return _measured(
        lambda: copy_activities(
            os.environ["SentinelOneUrl"],  # noqa: SIM112  (the setting's name)
            os.environ["SentinelOneAPIToken"],  # noqa: SIM112
            os.environ["LogsIngestionEndpoint"],  # noqa: SIM112
            os.environ["SentinelOneRuleId"],  # noqa: SIM112
            start,
            end,
        )
    )


TASKS: dict[str, Callable[..., Result]] = {"poll": poll, "straightforward": straightforward}


def main() -> None:
    """Run the task that the command line names."""
    task, options = sys.argv[1:3]
    print(json.dumps(TASKS[task](**json.loads(options))))


if __name__ == "__main__":
    main()
