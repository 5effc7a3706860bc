"""A table as Table Storage keeps it, in memory: ETags, limits, lost answers.

That it answers as the real emulator does is shown in test_model_table.py.
https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
)
from azure.data.tables import UpdateMode

MAX_PROPERTY_BYTES = 64 * 1024
MAX_ROW_BYTES = 1024 * 1024
MAX_PROPERTIES = 252


class Row(dict[str, Any]):
    """An entity and its metadata, as the SDK gives them back."""

    def __init__(self, properties: dict[str, Any], etag: str) -> None:
        super().__init__(properties)
        self.metadata = {"etag": etag}


def well_behaved(what: str, act: Callable[[], Any]) -> Any:
    """Do the operation."""
    return act()


def unavailable(what: str, act: Callable[[], Any]) -> Any:
    """The service cannot be reached: nothing is done."""
    raise ServiceRequestError("the table cannot be reached")


def given_up(what: str, act: Callable[[], Any]) -> Any:
    """The write is done, every answer is lost, and the SDK gives up."""
    act()
    raise ServiceRequestError("the answer was lost")


def answer_lost(what: str, act: Callable[[], Any]) -> Any:
    """The write is done, its answer lost, and the SDK's second try meets the first one's ETag."""
    act()
    if what == "create":
        raise ResourceExistsError("the entity exists")
    raise ResourceModifiedError("the condition was not met")


class ModelTable:
    """One table. Every write passes through ``on_write``, every read through ``on_read``."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}
        self.exists = False
        self.on_read: Callable[[str, Callable[[], Any]], Any] = well_behaved
        self.on_write: Callable[[str, Callable[[], Any]], Any] = well_behaved
        self._etags = count(1)

    def create_table(self) -> None:
        if self.exists:
            raise ResourceExistsError("the table exists")
        self.exists = True

    def get_entity(self, partition: str, row: str) -> Row:
        def read() -> Row:
            if (partition, row) not in self.rows:
                raise ResourceNotFoundError("no such entity")
            found = self.rows[partition, row]
            return Row(dict(found), found.metadata["etag"])

        result: Row = self.on_read("read", read)
        return result

    def query_entities(self, query: str, *, select: list[str] | None = None) -> Iterator[Row]:
        """Rows by the one kind of query that finds other addresses: a range, and a row."""
        low, high, row_key = re.fullmatch(
            r"PartitionKey ge '(.*?)' and PartitionKey lt '(.*?)' and RowKey eq '(.*?)'", query
        ).groups()  # type: ignore[union-attr]
        assert select is None

        def found() -> list[Row]:
            keys = [key for key in self.rows if low <= key[0] < high and key[1] == row_key]
            return [Row(dict(self.rows[key]), self.rows[key].metadata["etag"]) for key in keys]

        rows: list[Row] = self.on_read("read", found)
        return iter(rows)

    def create_entity(self, entity: dict[str, Any]) -> dict[str, str]:
        def create() -> dict[str, str]:
            if not self.exists:
                raise ResourceNotFoundError("no such table")
            key = entity["PartitionKey"], entity["RowKey"]
            if key in self.rows:
                raise ResourceExistsError("the entity exists")
            return self._keep(key, dict(entity))

        answer: dict[str, str] = self.on_write("create", create)
        return answer

    def update_entity(
        self,
        entity: dict[str, Any],
        *,
        mode: UpdateMode,
        etag: str,
        match_condition: MatchConditions,
    ) -> dict[str, str]:
        def update() -> dict[str, str]:
            key = entity["PartitionKey"], entity["RowKey"]
            if key not in self.rows:
                raise ResourceNotFoundError("no such entity")
            before = self.rows[key]
            assert match_condition is MatchConditions.IfNotModified
            if before.metadata["etag"] != etag:
                raise ResourceModifiedError("the condition was not met")
            merged = mode is UpdateMode.MERGE
            return self._keep(key, {**before, **entity} if merged else dict(entity))

        answer: dict[str, str] = self.on_write("update", update)
        return answer

    def delete_entity(self, partition: str, row: str) -> None:
        self.on_write("delete", lambda: self.rows.pop((partition, row), None))

    def _keep(self, key: tuple[str, str], properties: dict[str, Any]) -> dict[str, str]:
        assert len(properties) <= MAX_PROPERTIES
        sizes = [_bytes(name, value) for name, value in properties.items()]
        assert sum(sizes) <= MAX_ROW_BYTES
        etag = f'W/"{next(self._etags)}"'
        self.rows[key] = Row(properties, etag)
        return {"etag": etag}


def _bytes(name: str, value: Any) -> int:
    """A property's share of its row's megabyte; text is stored as UTF-16."""
    size = len(value) if isinstance(value, bytes) else 8
    if isinstance(value, str):
        size = 2 * len(value)
    assert size <= MAX_PROPERTY_BYTES
    return size + 2 * len(name) + 8
