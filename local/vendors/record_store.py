"""One kind of a vendor's records: added late, changed in place, filtered and walked by key."""

from __future__ import annotations

import heapq
import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

Record = dict[str, Any]
Key = tuple[Any, str]  # a sort's value and the record's id, which breaks ties
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MANY = 64  # from so many new records on, sorting again is quicker than inserting each


def microseconds(value: object) -> int | None:
    """Microseconds since 1970 of an ISO 8601 time with any length of fraction; None for no time."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return (value - EPOCH) // timedelta(microseconds=1)


def at_path(record: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, None where it is absent."""
    if "." not in path:
        return record.get(path)
    value: Any = record
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


@dataclass(frozen=True, slots=True)
class Between:
    """Bounds on a time in microseconds; `None` is open-ended, and each end may be exclusive."""

    low: int | None = None
    high: int | None = None
    low_open: bool = False
    high_open: bool = False

    def holds(self, value: int | None) -> bool:
        """Whether the value lies within the bounds."""
        if value is None:
            return False
        if self.low is not None and (value <= self.low if self.low_open else value < self.low):
            return False
        return self.high is None or (value < self.high if self.high_open else value <= self.high)


@dataclass(slots=True)
class Item:
    """A record as it is served, with the values that filters and sorts use."""

    id: str
    body: bytes
    fields: dict[str, Any]


class Collection:
    """Thread-safe. `times` and `values` name the fields that filters and sorts know, by path.

    A field that ends in a time is compared in microseconds. Records are kept encoded, so that a
    page of a thousand costs no encoding.
    """

    def __init__(
        self,
        times: Mapping[str, str],
        values: Mapping[str, str] | None = None,
        *,
        id_path: str = "id",
        now: Callable[[], datetime],
    ) -> None:
        self._times = dict(times)
        self._values = dict(values or {})
        self._id_path = id_path
        self._now = now
        self._lock = threading.RLock()
        self._items: dict[str, Item] = {}
        self._indexes: dict[str, list[tuple[Any, str]]] = {}
        self._hidden: list[tuple[datetime, int, Item]] = []
        self._count = 0

    def add(
        self,
        records: Iterable[Record],
        *,
        visible_at: datetime | None = None,
        at: datetime | None = None,
    ) -> None:
        """Add records, or replace those of the same id.

        `visible_at`: they appear when the vendor's clock gets there. `at`: the time by which a
        record without a time is found.
        """
        items = [self._item(record, at) for record in records]
        with self._lock:
            if visible_at is not None and visible_at > self._now():
                for item in items:
                    self._count += 1
                    heapq.heappush(self._hidden, (visible_at, self._count, item))
                return
            self._put(items)

    def update(self, record_id: str, changes: Mapping[str, Any]) -> None:
        """Change a record in place; dotted names reach into it."""
        with self._lock:
            record = orjson.loads(self._items[record_id].body)
            for path, value in changes.items():
                target = record
                *parents, name = path.split(".")
                for parent in parents:
                    target = target.setdefault(parent, {})
                target[name] = value
            self._put([self._item(record, None)])

    def remove(self, record_id: str) -> None:
        """Remove a record."""
        with self._lock:
            del self._items[record_id]
            self._indexes.clear()

    def get(self, record_id: str) -> Record | None:
        """The record as the vendor shows it now."""
        with self._lock:
            self._show_due()
            item = self._items.get(record_id)
            return orjson.loads(item.body) if item else None

    def ids(self) -> list[str]:
        """The ids of the records that are visible now."""
        with self._lock:
            self._show_due()
            return list(self._items)

    def records(self) -> list[Record]:
        """The records that are visible now."""
        with self._lock:
            self._show_due()
            return [orjson.loads(item.body) for item in self._items.values()]

    def bodies(self) -> list[bytes]:
        """The records that are visible now, encoded as they are served."""
        with self._lock:
            self._show_due()
            return [item.body for item in self._items.values()]

    def __len__(self) -> int:
        with self._lock:
            self._show_due()
            return len(self._items)

    def page(
        self,
        sort: str,
        *,
        descending: bool = False,
        bounds: Mapping[str, Between] | None = None,
        exact: Mapping[str, frozenset[str]] | None = None,
        after: Key | None = None,
        skip: int = 0,
        limit: int = 1000,
    ) -> tuple[list[Item], int, Key | None]:
        """Return a page's items, the total, and the key that the next page begins after."""
        with self._lock:
            self._show_due()
            keys, start, end = self._selected(sort, dict(bounds or {}), dict(exact or {}))
            total = end - start
            if descending:
                end = bisect_left(keys, after, start, end) if after else end
                end = max(start, end - skip)
                chosen = keys[max(start, end - limit) : end][::-1]
                more = end - limit > start
            else:
                start = bisect_right(keys, after, start, end) if after else start
                start += skip
                chosen = keys[start : min(start + limit, end)]
                more = start + limit < end
            items = [self._items[record_id] for _, record_id in chosen]
            return items, total, chosen[-1] if more and chosen else None

    def _selected(
        self, sort: str, bounds: dict[str, Between], exact: dict[str, frozenset[str]]
    ) -> tuple[list[Key], int, int]:
        """Sorted keys and the bounds of the part asked for, without a copy for each page."""
        keys = self._index(sort)
        start, end = _part(keys, bounds.pop(sort)) if sort in bounds else (0, len(keys))
        if not bounds and not exact:
            return keys, start, end

        def wanted(item: Item) -> bool:
            fields = item.fields
            return all(within.holds(fields[name]) for name, within in bounds.items()) and all(
                str(fields[name]).strip() in allowed for name, allowed in exact.items()
            )

        keys = [key for key in keys[start:end] if wanted(self._items[key[1]])]
        return keys, 0, len(keys)

    def _index(self, field: str) -> list[Key]:
        index = self._indexes.get(field)
        if index is None:
            found = ((item.fields[field], item.id) for item in self._items.values())
            index = self._indexes[field] = sorted(key for key in found if key[0] is not None)
        return index

    def _item(self, record: Record, at: datetime | None) -> Item:
        fields: dict[str, Any] = {
            name: microseconds(at_path(record, path)) for name, path in self._times.items()
        }
        if at is not None:
            default = microseconds(at)
            fields = {name: default if value is None else value for name, value in fields.items()}
        fields |= {name: at_path(record, path) for name, path in self._values.items()}
        self._count += 1
        given = at_path(record, self._id_path)
        record_id = str(given) if given is not None else f"(no id {self._count})"
        fields["id"] = record_id.rjust(40)
        return Item(record_id, orjson.dumps(record), fields)

    def _put(self, items: list[Item]) -> None:
        replaced = any(item.id in self._items for item in items)
        self._items.update((item.id, item) for item in items)
        if replaced or len(items) > MANY:
            self._indexes.clear()
            return
        for field, index in self._indexes.items():
            for item in items:
                if item.fields[field] is not None:
                    insort(index, (item.fields[field], item.id))

    def _show_due(self) -> None:
        if not self._hidden:
            return
        now, due = self._now(), []
        while self._hidden and self._hidden[0][0] <= now:
            due.append(heapq.heappop(self._hidden)[2])
        if due:
            self._put(due)


def _part(keys: list[Key], within: Between) -> tuple[int, int]:
    start, end = 0, len(keys)
    if within.low is not None:
        edge = within.low + 1 if within.low_open else within.low
        start = bisect_left(keys, (edge, ""))
    if within.high is not None:
        edge = within.high if within.high_open else within.high + 1
        end = bisect_left(keys, (edge, ""))
    return start, max(start, end)
