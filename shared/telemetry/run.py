"""What each stream's run did: for the log, the health rows and the status page."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from shared.telemetry.events import emit

# A stream further behind than this when its run ended well is late.
LATE_AFTER = timedelta(minutes=30)

logger = logging.getLogger("connectors.runs")


class RunState(StrEnum):
    """How a run ended; the values are what logs, rows and the stored history carry."""

    OK = "ok"
    LATE = "late"
    CATCHING_UP = "catching up"
    FAILING = "failing"
    OFF = "off"


@dataclass(slots=True)
class StreamRun:
    """One stream in one run; counts of this run alone, times aware UTC, durations in seconds."""

    connector: str
    stream: str
    run_id: str
    started: datetime
    status: RunState = RunState.OK
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
