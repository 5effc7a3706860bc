"""Reconcile each vendor's records with the local workspace's rows, by key."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local.demo.accounts import Served
from local.vendors.record_store import Record, at_path, microseconds
from local.vendors.vendor import VendorStream
from local.workspace.workspace import Workspace

Key = tuple[object, ...]
HEAD = ("", "vendor had", "arrived", "lost", "twice", "seconds behind", "sent now")


@dataclass(frozen=True, slots=True)
class StreamResult:
    """One stream's reconciliation. `behind` is in seconds, None where records have no time."""

    label: str
    had: int
    arrived: int
    lost: int
    twice: int
    behind: float | None


def reconcile(accounts: Iterable[Served], workspace: Workspace) -> list[StreamResult]:
    """Each connection's streams' results; a record counts by the version that is shown now."""

    @functools.cache
    def rows(stream: VendorStream) -> Mapping[str, list[Key]]:
        return _rows(stream, workspace)

    return [
        _reconcile(served, stream, rows(stream).get(served.connection, []))
        for served in accounts
        for stream in served.vendor.streams
    ]


def _rows(stream: VendorStream, workspace: Workspace) -> Mapping[str, list[Key]]:
    """The keys of a stream's rows, by connection."""
    found: dict[str, list[Key]] = defaultdict(list)
    query = f"{stream.query} | project Connection_s, {', '.join(stream.columns)}"
    for connection, *key in workspace.query(query).rows:
        found[connection or ""].append(tuple(map(_comparable, key)))
    return found


def _reconcile(served: Served, stream: VendorStream, found: Sequence[Key]) -> StreamResult:
    by_key = {_key(record, stream.fields): record for record in served.account.records(stream)}
    # Ignore rows without an id that no vendor has: a person posted them with `send`, or they came
    # beside those that a fetched hour had lost.
    rows = Counter(key for key in found if key[0] != "" or key in by_key)
    arrived = by_key.keys() & rows.keys()
    return StreamResult(
        served.label(stream),
        had=len(by_key),
        arrived=len(arrived),
        lost=len(by_key) - len(arrived),
        twice=sum(rows.values()) - len(rows),
        behind=_seconds_behind(stream, by_key, arrived),
    )


def _seconds_behind(
    stream: VendorStream, by_key: Mapping[Key, Record], arrived: Iterable[Key]
) -> float | None:
    """From the newest record that arrived to the newest there is."""
    if not stream.watermark or not by_key:
        return None
    moments = {key: _moment(at_path(each, stream.watermark)) for key, each in by_key.items()}
    newest = max((moments[key] for key in arrived), default=0)
    return max(0, max(moments.values()) - newest) / 1e6


def _key(record: Record, fields: Sequence[str]) -> Key:
    return tuple(_comparable(at_path(record, field)) for field in fields)


def _comparable(value: Any) -> object:
    """A value in the form that record and row share: times in microseconds, numbers as floats."""
    if isinstance(value, datetime):
        return microseconds(value)
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str) and "T" in value:
        return microseconds(value) or value
    return value or ""


def _moment(value: Any) -> int:
    text = str(value).replace(" UTC", "+00:00") if value else ""
    return microseconds(text) or 0


def as_table(results: Sequence[StreamResult], sent: Mapping[str, int]) -> str:
    """The results as aligned text; `sent` is how many records each label sent in this run."""
    rows: list[tuple[str, ...]] = [HEAD]
    for result in results:
        behind = "-" if result.behind is None else f"{result.behind:.1f}"
        counts = (result.had, result.arrived, result.lost, result.twice)
        now = f"{sent.get(result.label, 0):,}"
        rows.append((result.label, *(f"{count:,}" for count in counts), behind, now))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = []
    for label, *cells in rows:
        numbers = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([label.ljust(widths[0]), *numbers]))
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(lines)
