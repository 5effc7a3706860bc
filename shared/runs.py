"""What each stream's run did: for the log, the health rows and the status page."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from shared.events import emit
from shared.records import isoformat, parse_time, utc_now

OK = "ok"
LATE = "late"
CATCHING_UP = "catching up"
FAILING = "failing"
OFF = "off"

# A stream further behind than this when its run ended well is late.
LATE_AFTER = timedelta(minutes=30)
_HOURS_KEPT = 25

logger = logging.getLogger("connectors.runs")


@dataclass(slots=True)
class StreamRun:
    """One stream in one run; counts of this run alone, times aware UTC, durations in seconds."""

    connector: str
    stream: str
    run_id: str
    started: datetime
    status: str = OK
    records: int = 0
    bytes_read: int = 0
    bytes_sent: int = 0
    requests: int = 0
    retries: int = 0
    repeats: int = 0
    dead_lettered: int = 0
    watermark: datetime | None = None
    duration: float = 0.0
    error: Exception | None = field(default=None, repr=False)
    note: str = ""

    @property
    def seconds_behind(self) -> float | None:
        """From the watermark to the run's beginning; None where there is no watermark yet."""
        if self.watermark is None:
            return None
        return max((self.started - self.watermark).total_seconds(), 0.0)

    @property
    def error_class(self) -> str:
        return type(self.error).__name__ if self.error else ""

    @property
    def message(self) -> str:
        return str(self.error) if self.error else self.note

    def log(self) -> None:
        """One line at info; an error has a line of its own where it is raised."""
        emit(logger, "stream_run", **self.dimensions())

    def dimensions(self) -> dict[str, Any]:
        """The run in stable names: what the log's line and the health row carry."""
        return {
            "Connector": self.connector,
            "Stream": self.stream,
            "Status": self.status,
            "Records": self.records,
            "Bytes": self.bytes_sent,
            "SecondsBehind": self.seconds_behind,
            "DurationSeconds": round(self.duration, 3),
            "Requests": self.requests,
            "Retries": self.retries,
            "RepeatsSuppressed": self.repeats,
            "DeadLettered": self.dead_lettered,
            "ErrorClass": self.error_class,
            "Message": self.message,
            "RunId": self.run_id,
        }


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
    elif run.status != OFF:
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
