"""A stream's history: counts of the last day by the hour, stored beside its checkpoint."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson

from shared.records.timestamps import isoformat, parse_time, utc_now
from shared.telemetry.run import RunResult, RunState

_HOURS_KEPT = 25


def history_after(history: str, run: RunResult) -> str:
    """Add ``run`` to the stream's history (JSON); start an empty one where it is unreadable.

    ``{"hours": {"2026-01-02T03": [records, bytes, repeats]}, "bytesRead": {"2026-01-02T03": bytes},
    "status", "note", "lastRun", "lastSuccess", "waitsUntil",
    "lastError": {"at", "class", "message"}}``.
    """
    past = read_history(history)
    hours: dict[str, list[int]] = past.get("hours", {})
    # Not a fourth number of ``hours``: an earlier version, after a rollback, expects three.
    bytes_read: dict[str, int] = past.get("bytesRead", {})
    now = isoformat(run.started)
    hour = now[:13]
    if run.records or run.repeats:
        before = hours.get(hour, [0, 0, 0])
        added = (run.records, run.bytes_sent, run.repeats)
        hours[hour] = [a + b for a, b in zip(before, added, strict=True)]
    if run.bytes_read:
        bytes_read[hour] = bytes_read.get(hour, 0) + run.bytes_read
    oldest = isoformat(run.started - timedelta(hours=_HOURS_KEPT))[:13]
    past["hours"] = {hour: counts for hour, counts in sorted(hours.items()) if hour > oldest}
    past["bytesRead"] = {hour: count for hour, count in sorted(bytes_read.items()) if hour > oldest}
    past["status"], past["lastRun"] = run.status, now
    past["note"] = run.note
    if run.error:
        past["lastError"] = {"at": now, "class": run.error_class, "message": run.message[:2000]}
    elif run.status != RunState.OFF and (run.records or not run.waits_until):
        past["lastSuccess"] = now
    past.pop("waitsUntil", None)
    if run.waits_until:
        past["waitsUntil"] = isoformat(run.waits_until)
    return orjson.dumps(past).decode()


def read_history(history: str) -> dict[str, Any]:
    """Parse a history; ``{}`` where it is empty or unreadable."""
    try:
        past = orjson.loads(history or "{}")
    except orjson.JSONDecodeError:
        return {}
    return past if isinstance(past, dict) else {}


def ever_succeeded(history: str) -> bool:
    """Whether the history has a successful run."""
    return parse_time(read_history(history).get("lastSuccess")) is not None


def age(moment: datetime | None) -> timedelta:
    """Time since ``moment``; ``timedelta.max`` for None."""
    return utc_now() - moment if moment else timedelta.max
