"""Store a webhook's history, in a row that several instances share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from shared.records.timestamps import isoformat
from shared.state.keys import connection_key
from shared.state.shared_row import change_row
from shared.telemetry.history import history_after, read_history
from shared.telemetry.run import RunResult


def webhook_partition(connector: str, connection: str = "") -> str:
    """The PartitionKey of a webhook's history in table ``ConnectorCheckpoints``."""
    return f"{connection_key(connector, connection)}:webhook"


def keep_history(
    run: RunResult, failure: RunResult | None = None, success: RunResult | None = None
) -> None:
    """Add a webhook's counts, and the interval's last failed and last good run, to its row.

    ``run`` has the counts, and the outcome of the interval's last run.

    Raises StorageUnavailable.
    """

    def added(row: Mapping[str, Any]) -> Mapping[str, Any]:
        return _with_run(row, run, failure, success)

    partition = webhook_partition(run.connector, run.connection)
    change_row(partition, run.stream, added, what=f"the history of {run.stream}")


def _with_run(
    row: Mapping[str, Any], run: RunResult, failure: RunResult | None, success: RunResult | None
) -> dict[str, Any]:
    before = str(row.get("history") or "")
    other = success if run.error else failure
    # Record the other outcome first, and without counts: those are in the sum already.
    history = history_after(before, _without_counts(other)) if other else before
    found = {"history": _with_later_outcome(before, history_after(history, run))}
    if run.watermark:
        found["watermark"] = max(str(row.get("watermark") or ""), isoformat(run.watermark))
    return found


def _without_counts(run: RunResult) -> RunResult:
    return RunResult(
        run.connector, run.stream, run.run_id, run.started, status=run.status, error=run.error
    )


def _with_later_outcome(before: str, after: str) -> str:
    """Keep the outcome that ``before`` has of a later run, which another instance reported."""
    earlier, history = read_history(before), read_history(after)
    if str(earlier.get("lastRun") or "") <= str(history["lastRun"]):
        return after
    for name in ("status", "note", "lastRun"):
        history[name] = earlier.get(name)
    if success := max(str(each.get("lastSuccess") or "") for each in (earlier, history)):
        history["lastSuccess"] = success
    errors = [each["lastError"] for each in (history, earlier) if "lastError" in each]
    if errors:
        history["lastError"] = max(errors, key=lambda error: str(error.get("at")))
    return orjson.dumps(history).decode()
