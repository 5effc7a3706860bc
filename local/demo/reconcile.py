"""Who has what: each vendor's records held against the local workspace's rows, by key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local.vendors.jira import Jira
from local.vendors.record_store import at_path, microseconds
from local.vendors.sentinelone import SentinelOne
from local.vendors.sentinelone_records import Record
from local.workspace.workspace import Workspace

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Stream:
    """How one stream's records are known: at the vendor by `fields`, in the table by `columns`."""

    name: str
    stream: str
    query: str
    fields: tuple[str, ...]
    columns: tuple[str, ...]
    watermark: str = ""


def _sentinelone(
    name: str, fields: Sequence[str], columns: Sequence[str], watermark: str = ""
) -> Stream:
    query = f'SentinelOne_CL | where event_name_s == "{name}."'
    shown = f"Custom-SentinelOne{name}"
    return Stream(f"SentinelOne {name}", shown, query, tuple(fields), tuple(columns), watermark)


STREAMS = (
    _sentinelone("Alerts", ["alertInfo.alertId"], ["alertInfo_alertId_s"], "alertInfo.reportedAt"),
    _sentinelone("UnifiedAlerts", ["id"], ["id_s"], "detectedAt"),
    _sentinelone(
        "Threats",
        ["id", "threatInfo.updatedAt"],
        ["id_s", "threatInfo_updatedAt_t"],
        "threatInfo.updatedAt",
    ),
    _sentinelone("Activities", ["id"], ["id_s"], "createdAt"),
    _sentinelone("DeviceControl", ["id"], ["id_s"], "eventTime"),
    _sentinelone("Agents", ["id", "updatedAt"], ["id_s", "updatedAt_t"], "updatedAt"),
    _sentinelone("Groups", ["id", "updatedAt"], ["id_s", "updatedAt_t"], "updatedAt"),
    _sentinelone("Applications", ["id"], ["id_s"], "installedAt"),
    _sentinelone("Policies", ["scopeId"], ["scopeId_s"]),
    _sentinelone("Sites", ["id"], ["id_s"]),
    Stream("Jira audit", "Custom-JiraAudit", "Jira_Audit_CL", ("id",), ("id_d",), "created"),
    Stream("OneLogin", "Custom-OneLogin", "OneLogin_CL", ("uuid",), ("uuid_g",), "event_timestamp"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One stream's result. `behind` is in seconds, None where records have no time."""

    name: str
    had: int
    arrived: int
    lost: int
    twice: int
    behind: float | None


def tally(
    sentinelone: SentinelOne, jira: Jira, onelogin: Iterable[Record], workspace: Workspace
) -> list[Line]:
    """Every stream's line; records count by the version that the vendor shows now."""
    sent = list(onelogin)
    return [
        _line(stream, vendor_records(stream, sentinelone, jira, sent), workspace)
        for stream in STREAMS
    ]


def vendor_records(
    stream: Stream, sentinelone: SentinelOne, jira: Jira, onelogin: list[Record]
) -> list[Record]:
    """What the vendor has of a stream."""
    if stream.name == "OneLogin":
        return onelogin
    if stream.name == "Jira audit":
        return jira.audit_records.records()
    if stream.name == "SentinelOne Policies":
        return [{"scopeId": scope_id} for _, scope_id in sentinelone.policies]
    return sentinelone.streams[stream.name.partition(" ")[2].lower()].records()


def _line(stream: Stream, records: list[Record], workspace: Workspace) -> Line:
    asked = f"{stream.query} | project {', '.join(stream.columns)}"
    found = (tuple(map(_plain, row)) for row in workspace.query(asked).rows)
    keys = {_key(record, stream.fields): record for record in records}
    # Rows without an id that no vendor has are somebody's own, posted with `send`.
    rows = Counter(key for key in found if key[0] != "" or key in keys)
    arrived = keys.keys() & rows.keys()
    behind = None
    if stream.watermark and keys:
        moments = {key: _moment(at_path(each, stream.watermark)) for key, each in keys.items()}
        newest = max((moments[key] for key in arrived), default=0)
        behind = max(0, max(moments.values()) - newest) / 1e6
    twice = sum(rows.values()) - len(rows)
    return Line(stream.name, len(keys), len(arrived), len(keys) - len(arrived), twice, behind)


def _key(record: Record, fields: Sequence[str]) -> Key:
    return tuple(_plain(at_path(record, field)) for field in fields)


def _plain(value: Any) -> object:
    """A value as both sides show it: times in microseconds, numbers as such, text as it is."""
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


def table(lines: Sequence[Line], new: dict[str, int]) -> str:
    """The lines as a table; `new` says how many each stream sent in this run."""
    head = ("", "vendor had", "arrived", "lost", "twice", "seconds behind", "sent now")
    rows: list[tuple[str, ...]] = [head]
    for line, stream in zip(lines, STREAMS, strict=True):
        behind = "-" if line.behind is None else f"{line.behind:.1f}"
        counts = (line.had, line.arrived, line.lost, line.twice)
        sent = f"{new.get(stream.stream, 0):,}"
        rows.append((line.name, *(f"{count:,}" for count in counts), behind, sent))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    text = []
    for row in rows:
        first, *rest = (cell for cell in row)
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        text.append("  ".join(cells))
    text.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(text)
