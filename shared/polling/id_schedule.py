"""When a stream that is read by id is read by time as well, and what its ids are seen to do.

While ids grow, a look by id brings all there is; once an hour a window of time checks that it did.
A record of that window which no look has delivered, with an id below the last but one look's top,
shows that ids do not grow: from then on a wide window replaces the looks.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from shared.polling.prepare import PreparedPage
from shared.source.stream import Stream
from shared.state.fingerprints import FingerprintSet
from shared.state.progress import Progress

CHECK_EVERY = timedelta(hours=1)
# Timers tick a little early or late.
_SLACK = timedelta(minutes=1)
_EVER = timedelta(days=36_500)

logger = logging.getLogger("connectors.polling")


class IdSchedule:
    """The schedule of one run of ``stream``; without looks by id, windows begin an overlap back."""

    def __init__(self, stream: Stream, overlap: timedelta) -> None:
        self._stream = stream
        self._by_id = stream.by_id
        self._overlap = overlap
        self._known_before: int | None = None

    def keep(self, past: Progress) -> timedelta:
        """How long before a watermark a later window may begin, so fingerprints are kept."""
        if self._by_id is None:
            return self._overlap
        if past.slow_since and self._by_id.back is None:
            return _EVER
        back = self._by_id.back or timedelta()
        return max(back, self._overlap) + self._overlap + CHECK_EVERY + 5 * _SLACK

    def looks(self, past: Progress) -> bool:
        """Whether to look by id before the next window."""
        return self._by_id is not None and not past.slow_since

    def looked(self, past: Progress) -> None:
        """Note that this run looked down to the known id of ``past``, so all above has come."""
        self._known_before = int(past.known_id) if past.known_id else None

    def check_is_due(self, past: Progress, now: datetime) -> bool:
        """Whether a window follows the look: before the first watermark, then once an hour."""
        if not past.watermark or not past.checked_at or self._known_before is None:
            return True
        return now - past.checked_at >= CHECK_EVERY - _SLACK

    def window_from(self, past: Progress, now: datetime) -> tuple[datetime | None, Progress]:
        """From where a window begins, None for a whole inventory; and the progress noting it.

        Where the overlap has grown, not before the fingerprints that are kept: what came earlier
        would come again.
        """
        start, noted = self._wanted_from(past, now)
        if start and past.known_from:
            read_to = min(mark for mark in (past.watermark, past.checked_at) if mark)
            start = max(start, min(past.known_from, read_to))
        return start, noted

    def _wanted_from(self, past: Progress, now: datetime) -> tuple[datetime | None, Progress]:
        watermark = past.watermark
        if watermark is None:
            return None, replace(past, slow_at=now) if past.slow_since else past
        if self._by_id is None:
            return watermark - self._overlap, past
        if past.slow_since:
            idle = now - (past.slow_at or past.slow_since)
            if past.slow_at and idle < self._by_id.every - _SLACK:
                return watermark - self._overlap, past
            back = self._by_id.back
            return None if back is None else watermark - back, replace(past, slow_at=now)
        return min(past.checked_at or watermark, watermark) - self._overlap, past

    def shows_otherwise(self, page: PreparedPage, seen: FingerprintSet) -> bool:
        """Whether a window's page has a record that a look by id should have brought."""
        known = self._known_before
        if known is None:
            return False
        pairs = zip(page.ids, page.fingerprints, strict=True)
        return any(number is not None and number <= known and k not in seen for number, k in pairs)

    def slowed(self, past: Progress, cause: str, now: datetime) -> Progress:
        """``past`` without looks by id from now on; warn once, saying why."""
        self._known_before = None
        logger.warning(
            "%s: its ids do not grow as records arrive: %s. %s", self._stream.name, cause, self.note
        )
        closed = replace(past, known_id="", top_id="", reached_id="", look_start=None)
        return replace(closed, slow_since=now)

    @property
    def note(self) -> str:
        """What the slower look means, for the status page and the log."""
        return self._by_id.meaning if self._by_id else ""
