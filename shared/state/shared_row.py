"""A row of table ``ConnectorCheckpoints`` that several instances change."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from shared.azure import storage
from shared.azure.storage import create_on_first_use, storage_errors
from shared.errors import StorageUnavailable
from shared.state.checkpoint import TABLE

_TRIES = 5


def change_row(
    partition: str,
    row_key: str,
    change: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    *,
    what: str,
) -> None:
    """Merge into the row the properties that ``change`` makes of those it has, none at first.

    ``change`` is called again where another instance has changed the row since it was read. Raises
    StorageUnavailable, also after five such changes; ``what`` names the row in its text.
    """
    from azure.core import MatchConditions
    from azure.core.exceptions import (
        ResourceExistsError,
        ResourceModifiedError,
        ResourceNotFoundError,
    )

    table = storage.table(TABLE)
    with storage_errors(f"Writing {what}"):
        for _ in range(_TRIES):
            row: Mapping[str, Any] = {}
            etag = ""
            try:
                found = table.get_entity(partition, row_key)
                row, etag = found, str(found.metadata["etag"])
            except ResourceNotFoundError:
                pass  # created below
            entity = {**change(row), "PartitionKey": partition, "RowKey": row_key}
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
    raise StorageUnavailable(f"Writing {what} failed: others changed it five times meanwhile")
