"""A stream's run: counters while it works, and a result at its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from shared.telemetry.events import emit

# What runs are added up by, beside their duration.
COUNTS = (
    "records",
    "bytes_read",
    "bytes_sent",
    "requests",
    "retries",
    "repeats",
    "dead_lettered",
)
# A stream further behind than this when its run ended well is late.
LATE_AFTER = timedelta(minutes=30)

logger = logging.getLogger("connectors.runs")


class RunState(StrEnum):
    """How a run ended; logs, rows and the stored history carry the values."""

    OK = "ok"
    LATE = "late"
    CATCHING_UP = "catching up"
    FAILING = "failing"
    OFF = "off"


# The worst first.
SEVERITY = (RunState.FAILING, RunState.LATE, RunState.CATCHING_UP, RunState.OK, RunState.OFF)


def worst(states: Iterable[RunState]) -> RunState:
    """Return the worst of ``states``; ok where there are none, off where all are off."""
    return min(states, key=SEVERITY.index, default=RunState.OK)


@dataclass(frozen=True, slots=True)
class RunResult:
    """A stream's run at its end; counts of this run alone, times aware UTC, durations in seconds.

    ``connection`` is its name, '' for the one without a name; ``hours`` counts a post's new events
    as ``HourCounts.posted`` does; ``waits_until`` is when the vendor's limit of calls renews, None
    where the run does not wait for it. The log's line, the health row, the history and the
    aggregator are made from it.
    """

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
    connection: str = ""
    hours: Mapping[str, int] = field(default_factory=dict, repr=False)
    waits_until: datetime | None = None

    @property
    def seconds_behind(self) -> float | None:
        """From the watermark to the run's beginning; None where there is no watermark yet."""
        if self.watermark is None:
            return None
        return max((self.started - self.watermark).total_seconds(), 0.0)

    @property
    def error_class(self) -> str:
        """The error's class name, '' without an error."""
        return type(self.error).__name__ if self.error else ""

    @property
    def message(self) -> str:
        """The error's text, else the note."""
        return str(self.error) if self.error else self.note

    def counts_with(self, other: RunResult) -> dict[str, Any]:
        """The counts of both runs together."""
        return {name: getattr(self, name) + getattr(other, name) for name in COUNTS}

    def followed_by(self, later: RunResult) -> RunResult:
        """This result and that of a later round of the same run: sums, and the later outcome."""
        return replace(
            later,
            started=self.started,
            watermark=later.watermark or self.watermark,
            duration=self.duration + later.duration,
            **self.counts_with(later),
        )

    def log(self) -> None:
        """Log one line at info; an error is logged where it is raised."""
        emit(logger, "stream_run", **self.dimensions())

    def dimensions(self) -> dict[str, Any]:
        """The run under the stable names of the log event and of the health row."""
        return {
            "Connector": self.connector,
            "Connection": self.connection,
            "Stream": self.stream,
            "Status": self.status,
            "Records": self.records,
            "Bytes": self.bytes_sent,
            "BytesRead": self.bytes_read,
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


@dataclass(slots=True)
class RunCounters:
    """Counts inside a run; ``result`` freezes them.

    ``bytes_read`` are the bytes of pages or of a webhook's body, ``bytes_sent`` those on the wire
    to Azure Monitor; ``began`` is a reading of ``time.monotonic``.
    """

    connector: str
    stream: str
    run_id: str
    started: datetime
    began: float = field(default_factory=time.monotonic)
    records: int = 0
    bytes_read: int = 0
    bytes_sent: int = 0
    requests: int = 0
    retries: int = 0
    repeats: int = 0
    dead_lettered: int = 0
    watermark: datetime | None = None
    connection: str = ""
    hours: Mapping[str, int] = field(default_factory=dict)

    def restarted(self) -> RunCounters:
        """Zero counters of the same run, for a second attempt."""
        return RunCounters(
            self.connector,
            self.stream,
            self.run_id,
            self.started,
            self.began,
            connection=self.connection,
        )

    def result(
        self,
        status: RunState,
        *,
        error: Exception | None = None,
        note: str = "",
        waits_until: datetime | None = None,
    ) -> RunResult:
        """The run as it stands now, ended with ``status``."""
        return RunResult(
            connector=self.connector,
            stream=self.stream,
            run_id=self.run_id,
            started=self.started,
            status=status,
            records=self.records,
            bytes_read=self.bytes_read,
            bytes_sent=self.bytes_sent,
            requests=self.requests,
            retries=self.retries,
            repeats=self.repeats,
            dead_lettered=self.dead_lettered,
            watermark=self.watermark,
            duration=time.monotonic() - self.began,
            error=error,
            note=note,
            connection=self.connection,
            hours=self.hours,
            waits_until=waits_until,
        )
