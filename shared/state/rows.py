"""Read the checkpoint rows for the status page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.azure import storage
from shared.azure.storage import storage_errors
from shared.state.addresses import LeftBehind, left_behind
from shared.state.checkpoint import TABLE

_COLUMNS = ["RowKey", "format", "history", "watermark", "position", "looked_at"]

Row = Mapping[str, Any]


def checkpoint_rows(partition: str) -> dict[str, Row]:
    """Return a connector's rows by stream, without fingerprints. Raises ``StorageUnavailable``."""
    from azure.core.exceptions import ResourceNotFoundError

    with storage_errors("Reading the checkpoints"):
        try:
            rows = list(
                storage.table(TABLE).query_entities(
                    "PartitionKey eq @partition",
                    parameters={"partition": partition},
                    select=_COLUMNS,
                )
            )
        except ResourceNotFoundError:
            return {}
    # Leave out a stream's further rows, which hold fingerprints only: their keys contain a ~.
    return {row["RowKey"]: row for row in rows if "~" not in row["RowKey"]}


def other_addresses(partition: str) -> list[LeftBehind]:
    """Return the checkpoints that ``partition``'s connection has of other addresses.

    Raises ``StorageUnavailable``.
    """
    return left_behind(storage.table(TABLE), partition)
