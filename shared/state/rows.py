"""Read the checkpoint rows for the status page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.azure import storage
from shared.azure.storage import storage_errors
from shared.state.checkpoint import TABLE

_COLUMNS = [
    "PartitionKey",
    "RowKey",
    "format",
    "history",
    "watermark",
    "position",
    "looked_at",
    "missing",
]

Row = Mapping[str, Any]


def checkpoint_rows(partition: str) -> dict[str, Row]:
    """Return a connector's rows by stream, without fingerprints. Raises ``StorageUnavailable``."""
    return _read(partition).get(partition, {})


def all_checkpoint_rows() -> dict[str, dict[str, Row]]:
    """Return the rows of every partition by stream: a request for each 1,000 rows.

    Raises ``StorageUnavailable``.
    """
    return _read()


def _read(partition: str = "") -> dict[str, dict[str, Row]]:
    from azure.core.exceptions import ResourceNotFoundError

    table = storage.table(TABLE)
    found: dict[str, dict[str, Row]] = {}
    with storage_errors("Reading the checkpoints"):
        try:
            rows = (
                table.query_entities(
                    "PartitionKey eq @partition",
                    parameters={"partition": partition},
                    select=_COLUMNS,
                )
                if partition
                else table.list_entities(select=_COLUMNS)
            )
            for row in rows:
                # A stream's further rows hold fingerprints only: their keys contain a ~.
                if "~" not in row["RowKey"]:
                    found.setdefault(row["PartitionKey"], {})[row["RowKey"]] = row
        except ResourceNotFoundError:
            return {}
    return found
