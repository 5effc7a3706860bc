"""Read a window of time in ascending order; keep a position in it, and the vendor's cursor.

The position is a time: every earlier record of the window is delivered. It stands still within a
moment of many records, and where records come out of order; the cursor moves on with each page.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from shared.polling.prefetch import Resume, prefetch_pages, trusted_time
from shared.polling.prepare import PreparedPage
from shared.source.stream import Page, Source, Window
from shared.state.progress import MAX_CURSOR, Progress

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


def open_window(past: Progress, start: datetime, now: datetime) -> Progress:
    """Open a window from ``start`` to ``now``."""
    # Round down to milliseconds as some vendors do, or they return records before the start.
    start = start.replace(microsecond=start.microsecond // 1000 * 1000)
    return replace(
        past,
        window_start=start,
        window_end=max(now, start + _SECOND),
        watermark_next=None,
        position=start,
        cursor="",
        cursor_end=None,
    )


def cap_next_watermark(past: Progress, vendor_time: datetime | None) -> Progress:
    """Set the next watermark to the earlier of the window's end and the vendor's clock.

    Do it once a window: the first answer's time is the safe one.
    """
    if past.watermark_next or not past.window_end:
        return past
    end = min(past.window_end, vendor_time or past.window_end)
    return replace(past, watermark_next=max(end, past.watermark or end))


class WindowWalk:
    """The walk through the open window of ``progress``; see ``walk.Walk``."""

    def __init__(
        self,
        source: Source,
        prepare: Callable[[Page], PreparedPage],
        progress: Progress,
        overlap: timedelta,
    ) -> None:
        self._source = source
        self._overlap = overlap
        self._prepare = prepare
        self.progress = progress
        self._position = self._packed_position = progress.position or EPOCH
        self._page: PreparedPage | None = None
        self._in_order = False
        self._trusted = EPOCH

    def pages(self) -> Generator[PreparedPage, None, None]:
        """The pages from the position or the cursor on."""
        past = self.progress
        end = max(past.window_end or EPOCH, self._position + _SECOND)
        resume = None
        if past.cursor and past.cursor_end:
            resume = Resume(past.cursor, past.cursor_end, self._newest())
        window = Window(self._position, end, self._overlap)
        yield from prefetch_pages(self._source, window, self._prepare, resume)

    def begin(self, page: PreparedPage) -> None:
        """See whether the page is in order: only then do its records move the position."""
        self.progress = cap_next_watermark(self.progress, page.vendor_time)
        self._page = page
        times = self._times(page)
        self._in_order = (
            page.ordered and times == sorted(times) and (not times or times[0] >= self._position)
        )
        if times:
            self._trusted = max(self._position, trusted_time(sorted(times)))
        if times and not self._in_order:
            # The last page's position may be that of a record out of order, before others that
            # this page brings; no batch has been submitted with it yet.
            self._position = max(self._packed_position, min(self._position, *times))

    def progress_at(self, number: int) -> Progress:
        """The position before the record ``number`` of the page; the last page's cursor."""
        if self._in_order and self._page:
            newest = self._newest()
            for moment in reversed(self._page.times[:number]):
                if moment is not None and moment < newest:
                    self._position = max(self._position, min(moment, self._trusted))
                    break
        self._packed_position = self._position
        return replace(self.progress, position=self._position)

    def end(self, page: PreparedPage) -> None:
        """Move the position to the page's last record, and the cursor behind the page."""
        times = self._times(page)
        if self._in_order and times:
            self._position = max(self._position, self._trusted)
        if page.complete_to:
            # Also beyond the next watermark: what arrives there later is in the next window.
            self._position = max(self._position, page.complete_to)
        cursor = page.cursor if len(page.cursor) <= MAX_CURSOR else ""
        self.progress = replace(
            self.progress,
            position=self._position,
            cursor=cursor,
            cursor_end=page.cursor_end if cursor else None,
        )

    def _times(self, page: PreparedPage) -> list[datetime]:
        # Ignore a record updated while paging: its time is beyond the window, so it must not
        # advance the position.
        newest = self._newest()
        return [moment for moment in page.times if moment is not None and moment < newest]

    def _newest(self) -> datetime:
        return self.progress.watermark_next or EPOCH
