"""A stream's last day by the hour, kept beside its checkpoint."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson

from shared.records.timestamps import isoformat, parse_time, utc_now
from shared.telemetry.run import RunState, StreamRun

_HOURS_KEPT = 25


def history_after(history: str, run: StreamRun) -> str:
    """The stream's history (JSON) with ``run`` in it: a day by the hour, last success and error.

    ``{"hours": {"2026-01-02T03": [records, bytes, repeats]}, "status", "lastRun", "lastSuccess",
    "lastError": {"at", "class", "message"}, "succeeded": true}``; unreadable history begins anew.
    """
    past = read_history(history)
    hours: dict[str, list[int]] = past.get("hours", {})
    now = isoformat(run.started)
    if run.records or run.repeats:
        before = hours.get(now[:13], [0, 0, 0])
        added = (run.records, run.bytes_sent, run.repeats)
        hours[now[:13]] = [a + b for a, b in zip(before, added, strict=True)]
    oldest = isoformat(run.started - timedelta(hours=_HOURS_KEPT))[:13]
    past["hours"] = {hour: counts for hour, counts in sorted(hours.items()) if hour > oldest}
    past["status"], past["lastRun"] = run.status, now
    past["note"] = run.note
    if run.error:
        past["lastError"] = {"at": now, "class": run.error_class, "message": run.message[:2000]}
    elif run.status != RunState.OFF:
        past["lastSuccess"] = now
    return orjson.dumps(past).decode()


def read_history(history: str) -> dict[str, Any]:
    """The history's JSON, ``{}`` where there is none."""
    try:
        past = orjson.loads(history or "{}")
    except orjson.JSONDecodeError:
        return {}
    return past if isinstance(past, dict) else {}


def ever_succeeded(history: str) -> bool:
    """Whether the stream's last success is on record."""
    return parse_time(read_history(history).get("lastSuccess")) is not None


def age(moment: datetime | None) -> timedelta:
    """How long ago ``moment`` was; for ever, where it never was."""
    return utc_now() - moment if moment else timedelta.max
