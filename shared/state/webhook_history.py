"""Store a webhook's history, in a row that several instances share."""

from __future__ import annotations

import functools
from typing import Any

import orjson

from shared.azure import storage
from shared.azure.storage import create_on_first_use, storage_errors
from shared.errors import StorageUnavailable
from shared.records.timestamps import isoformat
from shared.state.checkpoint import TABLE
from shared.state.keys import connection_key
from shared.telemetry.history import history_after, read_history
from shared.telemetry.run import RunResult

_TRIES = 5


def webhook_partition(connector: str, connection: str = "") -> str:
    """The PartitionKey of a webhook's history in table ``ConnectorCheckpoints``."""
    return f"{connection_key(connector, connection)}:webhook"


def keep_history(
    run: RunResult, failure: RunResult | None = None, success: RunResult | None = None
) -> None:
    """Add a webhook's counts, and the interval's last failed and last good run, to its row.

    ``run`` has the counts, and the outcome of the interval's last run.

    Try again when another instance has changed the row since it was read. Raises
    StorageUnavailable, also after five such changes.
    """
    from azure.core import MatchConditions
    from azure.core.exceptions import (
        ResourceExistsError,
        ResourceModifiedError,
        ResourceNotFoundError,
    )

    table = storage.table(TABLE)
    partition = webhook_partition(run.connector, run.connection)
    with storage_errors(f"Writing the history of {run.stream}"):
        for _ in range(_TRIES):
            entity: dict[str, Any] = {"PartitionKey": partition, "RowKey": run.stream}
            etag = None
            try:
                found = table.get_entity(partition, run.stream)
                entity |= {name: found.get(name) for name in ("history", "watermark")}
                etag = str(found.metadata["etag"])
            except ResourceNotFoundError:
                etag = None
            _add_to(entity, run, failure, success)
            try:
                if etag:
                    table.update_entity(
                        entity, etag=etag, match_condition=MatchConditions.IfNotModified
                    )
                else:
                    create_on_first_use(
                        table.create_table, functools.partial(table.create_entity, entity)
                    )
            except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
                continue  # changed, or removed, since it was read
            return
    raise StorageUnavailable(f"The history of {run.stream} was changed by others five times")


def _add_to(
    entity: dict[str, Any], run: RunResult, failure: RunResult | None, success: RunResult | None
) -> None:
    before = str(entity.get("history") or "")
    other = success if run.error else failure
    # Record the other outcome first, and without counts: those are in the sum already.
    history = history_after(before, _without_counts(other)) if other else before
    history = history_after(history, run)
    entity["history"] = _with_later_outcome(before, history)
    if run.watermark:
        entity["watermark"] = max(str(entity.get("watermark") or ""), isoformat(run.watermark))


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
