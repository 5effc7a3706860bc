"""Store a webhook's history, in a row that several instances share."""

from __future__ import annotations

import functools
from typing import Any

from shared.azure import storage
from shared.azure.storage import create_on_first_use, storage_errors
from shared.errors import StorageUnavailable
from shared.records.timestamps import isoformat
from shared.state.checkpoint import TABLE
from shared.telemetry.history import history_after
from shared.telemetry.run import RunResult

_TRIES = 5


def webhook_partition(connector: str) -> str:
    """The PartitionKey of a webhook's history in table ``ConnectorCheckpoints``."""
    return f"{connector}:webhook"


def keep_history(run: RunResult, failure: RunResult | None) -> None:
    """Add a webhook's counts, and the interval's last failed run, to its row.

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
    partition = webhook_partition(run.connector)
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
            _add_to(entity, run, failure)
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


def _add_to(entity: dict[str, Any], run: RunResult, failure: RunResult | None) -> None:
    history = str(entity.get("history") or "")
    if failure and run.error is None:
        # Record the error alone: its counts are in the sum already.
        failed = RunResult(
            run.connector,
            run.stream,
            failure.run_id,
            failure.started,
            status=failure.status,
            error=failure.error,
        )
        history = history_after(history, failed)
    entity["history"] = history_after(history, run)
    if run.watermark:
        entity["watermark"] = max(str(entity.get("watermark") or ""), isoformat(run.watermark))
