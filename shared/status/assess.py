"""From what is on record to an assessment in words: how a stream is, why, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.errors import ADVICE, OTHER_ADVICE
from shared.polling.budget import budget_seconds
from shared.records.timestamps import isoformat, parse_time
from shared.source.stream import Stream
from shared.state.checkpoint import FORMAT
from shared.status.model import Assessment, Hour, LastError, StreamStatus
from shared.telemetry.history import read_history
from shared.telemetry.humanize import many, span
from shared.telemetry.run import LATE_AFTER, RunState

_TICK = timedelta(minutes=5)
# A timer's next run has been missed, not merely delayed, after this much more than its interval.
_GRACE = timedelta(minutes=15)
_OFF_AGAIN = timedelta(hours=1)
_QUIET = timedelta(hours=24)
_HOURS = 24
# Before this no vendor has events: a full first read begins at the epoch.
_NO_EVENTS_BEFORE = 2000

NEW = "No run is on record yet."
_LOOK_AT_APP = (
    "In the portal, see that the function app is running and its timer function is enabled; "
    "Application Insights says why a run did not begin."
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A stream's row in the checkpoints' table, read leniently; nothing in it is believed."""

    history: Mapping[str, Any]
    watermark: datetime | None = None
    position: datetime | None = None
    looked_at: datetime | None = None
    readable: bool = True

    @classmethod
    def read(cls, row: Mapping[str, Any], *, polled: bool) -> Recorded:
        """From the table's entity; a webhook's has no format of its own."""
        times = {name: parse_time(row.get(name)) for name in ("watermark", "position", "looked_at")}
        readable = not polled or row.get("format") == FORMAT
        return cls(read_history(str(row.get("history") or "")), **times, readable=readable)

    @property
    def status(self) -> str:
        """How the last run ended; '' before the first."""
        return str(self.history.get("status") or "")

    def time(self, name: str) -> datetime | None:
        """One of the history's times."""
        return parse_time(self.history.get(name))

    @property
    def last_error(self) -> LastError | None:
        """The last error on record."""
        error = self.history.get("lastError")
        if not isinstance(error, dict):
            return None
        return LastError(
            parse_time(error.get("at")), str(error.get("class")), str(error.get("message"))
        )

    def hours(self, now: datetime) -> list[Hour]:
        """The last 24 hours, the present one last."""
        counts = self.history.get("hours")
        known = counts if isinstance(counts, dict) else {}
        first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=_HOURS - 1)
        starts = [first + timedelta(hours=number) for number in range(_HOURS)]
        return [_hour(start, known.get(isoformat(start)[:13])) for start in starts]


def _hour(start: datetime, counts: object) -> Hour:
    if not isinstance(counts, list) or len(counts) != 3:
        return Hour(start)
    records, size, repeats = (int(count) for count in counts)
    return Hour(start, records, size, repeats)


def polled_stream(
    stream: Stream, row: Mapping[str, Any] | None, inventory_minutes: float, now: datetime
) -> StreamStatus:
    """How a stream is that a timer polls; ``row`` is None where it has no checkpoint."""
    known = Recorded.read(row or {}, polled=row is not None)
    marks = [mark for mark in (known.watermark, known.position) if mark]
    delivered_to = max(marks, default=None)
    if delivered_to and delivered_to.year < _NO_EVENTS_BEFORE:
        delivered_to = None
    behind = (now - delivered_to).total_seconds() if delivered_to else None
    every = _TICK
    if known.status == RunState.OFF:
        every = _OFF_AGAIN
    elif stream.inventory:
        every = max(timedelta(minutes=inventory_minutes), _TICK)
    return StreamStatus(
        name=stream.name,
        assessment=_assess_polled(known, row is not None, every, behind, now),
        delivered_to=known.looked_at if stream.snapshot else delivered_to,
        seconds_behind=None if stream.snapshot else behind,
        last_run=known.time("lastRun"),
        last_success=known.time("lastSuccess"),
        last_error=known.last_error,
        hours=known.hours(now),
    )


def _assess_polled(
    known: Recorded, on_record: bool, every: timedelta, behind: float | None, now: datetime
) -> Assessment:
    if not known.readable:
        return Assessment(
            RunState.FAILING,
            "Its checkpoint was written by another version, or edited by hand.",
            "The log's last error of the stream names the rows of ConnectorCheckpoints to delete.",
        )
    last_run = known.time("lastRun")
    if not on_record or last_run is None:
        return Assessment(
            RunState.LATE, NEW, f"Wait for the timer's next tick, in 20 minutes: {_LOOK_AT_APP}"
        )
    allowed = every + max(_GRACE, timedelta(seconds=budget_seconds()) + _TICK)
    if now - last_run > allowed:
        return Assessment(
            RunState.FAILING,
            f"It has not run for {span((now - last_run).total_seconds())}, though it is due every "
            f"{every.total_seconds() / 60:.0f} minutes.",
            _LOOK_AT_APP,
        )
    if known.status == RunState.FAILING:
        return failing(known.last_error)
    if known.status == RunState.OFF:
        return Assessment(
            RunState.OFF,
            str(known.history.get("note") or "Off."),
            "If your licence has it, give the token's user the permission. If not, take the stream "
            "out of SentinelOneStreams, and it is asked for no more.",
        )
    if known.status == RunState.CATCHING_UP:
        return Assessment(
            RunState.CATCHING_UP,
            "A backlog is being read, the oldest first; each run goes on where the last one ended.",
            "Nothing. If the time behind does not shrink within hours, raise the requests a "
            "second or functionTimeout.",
        )
    if (
        known.status == RunState.LATE
        or (behind or 0) > (LATE_AFTER + every + _TICK).total_seconds()
    ):
        return Assessment(
            RunState.LATE,
            "Its runs end well, yet what they deliver is long past: the vendor's clock or its own "
            "log is behind.",
            "Look at the vendor's console for a newer event than the time delivered to.",
        )
    return Assessment(RunState.OK, "It delivers all there is.")


def failing(error: LastError | None) -> Assessment:
    """The assessment on a last run that failed with ``error``."""
    if error is None:
        return Assessment(RunState.FAILING, "Its last run failed.", OTHER_ADVICE)
    return Assessment(RunState.FAILING, error.message, ADVICE.get(error.error, OTHER_ADVICE))


def webhook_stream(
    stream: str, row: Mapping[str, Any] | None, spooled: int | None, now: datetime
) -> StreamStatus:
    """How a stream is whose events a vendor posts; ``spooled`` messages wait in the spool."""
    known = Recorded.read(row or {}, polled=False)
    return StreamStatus(
        name=stream,
        assessment=_assess_webhook(known, spooled, now),
        delivered_to=known.watermark,
        last_run=known.time("lastRun"),
        last_success=known.time("lastSuccess"),
        last_error=known.last_error,
        hours=known.hours(now),
    )


def _assess_webhook(known: Recorded, spooled: int | None, now: datetime) -> Assessment:
    last_run = known.time("lastRun")
    if known.status == RunState.FAILING:
        return failing(known.last_error)
    if spooled:
        return Assessment(
            RunState.LATE,
            "Azure Monitor did not take all: in the spool, "
            f"{many(spooled, 'message')} of events to be sent.",
            "Nothing is lost; DeliveryRetry tries again. If the number does not shrink, test the "
            "destination below.",
        )
    if last_run is None:
        return Assessment(
            RunState.LATE,
            "No event has arrived yet.",
            "See that the vendor's webhook has this app's address with its function key, and "
            "the bearer token.",
        )
    if now - last_run > _QUIET:
        return Assessment(
            RunState.LATE,
            f"No event has arrived for {span((now - last_run).total_seconds())}.",
            "If people have signed in since, see that the vendor's webhook is still enabled.",
        )
    return Assessment(RunState.OK, "Events arrive, and are delivered.")
