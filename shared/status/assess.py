"""Assess a stream from its stored history: its state, the reason and the advice, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.errors import ADVICE, OTHER_ADVICE
from shared.polling.budget import budget_seconds
from shared.records.timestamps import isoformat, parse_time
from shared.source.stream import Stream
from shared.state.progress import READABLE_FORMATS
from shared.status.model import Assessment, Hour, LastError, StreamStatus
from shared.telemetry.history import read_history
from shared.telemetry.humanize import many, span
from shared.telemetry.run import LATE_AFTER, RunState

_TICK = timedelta(minutes=5)
# A run counts as missed, not as delayed, when it is late by more than this.
_GRACE = timedelta(minutes=15)
_OFF_RECHECK = timedelta(hours=1)
_QUIET = timedelta(hours=24)
# Good posts so recent show that the vendor has the right token.
_GOOD_POST = timedelta(hours=1)
_HOURS = 24
# A full first read begins at the epoch: a watermark before this year is no event's time.
_FIRST_EVENT_YEAR = 2000

NO_RUN = "No run is on record yet."
_LOOK_AT_APP = (
    "In the portal, see that the function app is running and its timer function is enabled; "
    "Application Insights says why a run did not begin."
)
_THROTTLED_ADVICE = (
    "Nothing. If it comes back each hour, see which other programs use the account's calls. Two "
    "hours without a new record are an alert."
)


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A stream's row of ConnectorCheckpoints, parsed leniently: a malformed value reads as absent.

    The attributes carry the names of the stored properties.
    """

    history: Mapping[str, Any]
    watermark: datetime | None = None
    position: datetime | None = None
    looked_at: datetime | None = None
    readable: bool = True

    @classmethod
    def parse(cls, row: Mapping[str, Any], *, polled: bool) -> StoredRow:
        """Parse the table's entity; the row of a webhook has no ``format``."""
        times = {name: parse_time(row.get(name)) for name in ("watermark", "position", "looked_at")}
        readable = not polled or row.get("format") in READABLE_FORMATS
        return cls(read_history(str(row.get("history") or "")), **times, readable=readable)

    @property
    def status(self) -> str:
        """State of the last run; '' before the first."""
        return str(self.history.get("status") or "")

    def time(self, name: str) -> datetime | None:
        """Return a time of the history, such as ``lastRun``."""
        return parse_time(self.history.get(name))

    @property
    def last_error(self) -> LastError | None:
        """The last error in the history; it stays after a success."""
        error = self.history.get("lastError")
        if not isinstance(error, dict):
            return None
        return LastError(
            parse_time(error.get("at")), str(error.get("class")), str(error.get("message"))
        )

    def hours(self, now: datetime) -> list[Hour]:
        """Return the last 24 hours, the current one last."""
        counts, bytes_read = self._by_hour("hours"), self._by_hour("bytesRead")
        first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=_HOURS - 1)
        starts = [first + timedelta(hours=number) for number in range(_HOURS)]
        keys = [isoformat(start)[:13] for start in starts]
        return [
            _hour(start, counts.get(key), bytes_read.get(key))
            for start, key in zip(starts, keys, strict=True)
        ]

    def _by_hour(self, name: str) -> Mapping[str, Any]:
        found = self.history.get(name)
        return found if isinstance(found, dict) else {}


def _hour(start: datetime, counts: object, bytes_read: object) -> Hour:
    read = bytes_read if isinstance(bytes_read, int) else 0
    if not isinstance(counts, list) or [type(count) for count in counts] != [int] * 3:
        return Hour(start, bytes_read=read)
    records, size, repeats = counts
    return Hour(start, records, size, repeats, read)


def polled_stream(
    stream: Stream,
    row: Mapping[str, Any] | None,
    inventory_minutes: float,
    streams_setting: str,
    now: datetime,
) -> StreamStatus:
    """Assess a stream that a timer polls; ``row`` is None where it has no checkpoint.

    ``streams_setting`` names the setting that chooses the connector's streams, '' without one.
    """
    stored = StoredRow.parse(row or {}, polled=row is not None)
    marks = [mark for mark in (stored.watermark, stored.position) if mark]
    delivered_to = max(marks, default=None)
    if delivered_to and delivered_to.year < _FIRST_EVENT_YEAR:
        delivered_to = None
    behind = (now - delivered_to).total_seconds() if delivered_to else None
    every = _TICK
    if stored.status == RunState.OFF:
        every = _OFF_RECHECK
    elif stream.inventory:
        every = max(timedelta(minutes=inventory_minutes), _TICK)
    return StreamStatus(
        name=stream.name,
        assessment=_assess_polled(stored, every, behind, streams_setting, now),
        delivered_to=stored.looked_at if stream.snapshot else delivered_to,
        seconds_behind=None if stream.snapshot else behind,
        last_run=stored.time("lastRun"),
        last_success=stored.time("lastSuccess"),
        last_error=stored.last_error,
        hours=stored.hours(now),
    )


def _assess_polled(
    stored: StoredRow,
    every: timedelta,
    behind: float | None,
    streams_setting: str,
    now: datetime,
) -> Assessment:
    if not stored.readable:
        return Assessment(
            RunState.FAILING,
            "Its checkpoint was written by another version, or edited by hand.",
            "Start the stream over: python3 -m tools reset-stream (docs/operate.md).",
        )
    last_run = stored.time("lastRun")
    if last_run is None:
        return Assessment(
            RunState.LATE, NO_RUN, f"Wait for the timer's next tick, in 20 minutes: {_LOOK_AT_APP}"
        )
    allowed = every + max(_GRACE, timedelta(seconds=budget_seconds()) + _TICK)
    if now - last_run > allowed:
        return Assessment(
            RunState.FAILING,
            f"It has not run for {span((now - last_run).total_seconds())}, though it is due every "
            f"{every.total_seconds() / 60:.0f} minutes.",
            _LOOK_AT_APP,
        )
    if stored.status == RunState.FAILING:
        return failing(stored.last_error)
    if stored.status == RunState.OFF:
        return _off(str(stored.history.get("note") or "Off."), streams_setting)
    if stored.status == RunState.CATCHING_UP and stored.time("waitsUntil"):
        return Assessment(RunState.CATCHING_UP, f"{stored.history.get('note')}.", _THROTTLED_ADVICE)
    if stored.status == RunState.CATCHING_UP:
        return Assessment(
            RunState.CATCHING_UP,
            "A backlog is being read, the oldest first; each run goes on where the last one ended.",
            "Nothing. If the time behind does not shrink within hours, raise the requests a "
            "second or functionTimeout.",
        )
    if (
        stored.status == RunState.LATE
        or (behind or 0) > (LATE_AFTER + every + _TICK).total_seconds()
    ):
        return Assessment(
            RunState.LATE,
            "Its runs end well, yet what they deliver is long past: the vendor's clock or its own "
            "log is behind.",
            "Look at the vendor's console for a newer event than the time delivered to.",
        )
    note = str(stored.history.get("note") or "")
    return Assessment(RunState.OK, " ".join(filter(None, ["It delivers all there is.", note])))


def _off(note: str, streams_setting: str) -> Assessment:
    advice = "If your licence has it, give the token's user the permission."
    if streams_setting:
        advice += f" If not, take the stream out of {streams_setting}, and it is asked for no more."
    return Assessment(RunState.OFF, note, advice)


def failing(error: LastError | None) -> Assessment:
    """Assess a last run that failed with ``error``; None where the history lacks it."""
    if error is None:
        return Assessment(RunState.FAILING, "Its last run failed.", OTHER_ADVICE)
    return Assessment(RunState.FAILING, error.message, ADVICE.get(error.error, OTHER_ADVICE))


def webhook_stream(
    stream: str, row: Mapping[str, Any] | None, spooled: int | None, now: datetime
) -> StreamStatus:
    """Assess a stream that a vendor posts to.

    ``spooled`` counts the spool's messages, None where storage did not answer.
    """
    stored = StoredRow.parse(row or {}, polled=False)
    return StreamStatus(
        name=stream,
        assessment=_assess_webhook(stored, spooled, now),
        delivered_to=stored.watermark,
        last_run=stored.time("lastRun"),
        last_success=stored.time("lastSuccess"),
        last_error=stored.last_error,
        hours=stored.hours(now),
    )


def _assess_webhook(stored: StoredRow, spooled: int | None, now: datetime) -> Assessment:
    last_run = stored.time("lastRun")
    if stored.status == RunState.FAILING:
        return _refused_beside_good_posts(stored, now) or failing(stored.last_error)
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


def _refused_beside_good_posts(stored: StoredRow, now: datetime) -> Assessment | None:
    """Assess a wrong token while good posts arrive; None where it is more than that."""
    error, success = stored.last_error, stored.time("lastSuccess")
    if error is None or error.error != "VendorRefused" or success is None:
        return None
    since = now - success
    if since > _GOOD_POST:
        return None
    return Assessment(
        RunState.LATE,
        f"{error.message}. Events with a right token arrived {span(since.total_seconds())} ago.",
        "If a token is being changed, change it in the vendor's header too. Otherwise somebody "
        "who knows the webhook's address posts to it: make a new function key. A good post ends "
        "this.",
    )
