"""Golden records: what a vendor sends, and the exact row it becomes.

tests/content/golden/<Stream>.yaml holds both, to be read side by side. A row names every column
that is not empty. `python -m tests.content.golden` writes the rows anew after a change of a
transform; what it changed is then reviewed as any change is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import yaml

from local.workspace.workspace import Workspace
from shared.connections.registry import connectors
from shared.records.declared import declared_fields, declared_streams
from shared.records.encoder import encode
from shared.records.timestamps import isoformat, parse_time
from shared.settings.app import HEALTH_RULE
from tools.content import load_tables

FOLDER = Path(__file__).with_name("golden")
NOW = datetime(2026, 1, 20, 12, 0, tzinfo=UTC)
STREAMS = {stream: table.name for table in load_tables() for stream in table.streams}
# Where a stream's record says when it happened; the function makes TimeGenerated of it.
_TIMES = (
    "eventTime detectedAt installedAt event_timestamp created_at created createdAt updatedAt "
    "alertInfo.createdAt threatInfo.updatedAt"
).split()
_OF_EVERY_TABLE = {"Type"}


def cases(stream: str) -> list[dict[str, Any]]:
    """The golden records of a stream: what, record, row (None where it makes no row)."""
    loaded: list[dict[str, Any]] = yaml.safe_load(_path(stream).read_text(encoding="utf-8"))
    return loaded


def sent(stream: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as it reaches Azure Monitor: through the function, or as TrapEye sends it.

    A golden record's ``Connection`` is the name of the connection that brings it.
    """
    if declared_streams()[stream].rule_setting is None:
        return dict(record)
    if declared_streams()[stream].rule_setting == HEALTH_RULE:
        encoded = encode(record, time_generated=_time(record), declared=declared_fields(stream))
        sent_row: dict[str, Any] = orjson.loads(encoded)
        return sent_row
    found = next(s for c in connectors() for s in c.streams if s.name == stream)
    encoded = encode(
        {name: value for name, value in record.items() if name != "Connection"},
        time_generated=_time(record),
        connection=record.get("Connection", ""),
        declared=declared_fields(stream),
        added=found.added,
        redact=found.redact,
    )
    outgoing: dict[str, Any] = orjson.loads(encoded)
    return outgoing


def rows_of(
    workspace: Workspace, stream: str, records: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The rows that a batch of a stream's records becomes."""
    stored = workspace.ingest(stream, [sent(stream, record) for record in records]).rows
    name = stream.removeprefix("Custom-SentinelOne")
    only = f" | where event_name_s == '{name}.'" if name != stream else ""
    there = workspace.query(f"{STREAMS[stream]}{only}").dicts()
    return [_filled(row) for row in there[len(there) - stored :]]


def _filled(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _plain(value)
        for name, value in row.items()
        if value not in ("", None) and name not in _OF_EVERY_TABLE
    }


def _time(record: Mapping[str, Any]) -> datetime:
    for path in _TIMES:
        value: Any = record
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if (moment := parse_time(value)) is not None:
            return moment
    return NOW


def _plain(value: Any) -> Any:
    return isoformat(value) if isinstance(value, datetime) else value


def _path(stream: str) -> Path:
    return FOLDER / f"{stream.removeprefix('Custom-')}.yaml"


def main() -> None:
    """Writes each golden file's rows anew."""
    workspace = Workspace(None, now=lambda: NOW)
    for stream in STREAMS:
        written = []
        for case in cases(stream):
            rows = rows_of(workspace, stream, [case["record"]])
            written.append({**case, "row": rows[0] if rows else None})
        text = yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=110)
        _path(stream).write_text(text.replace("\n- what", "\n\n- what"), encoding="utf-8")


if __name__ == "__main__":
    main()
