"""A window's pages in ascending order, a backlog's sub-windows fetched side by side.

The first page tells how many records the window has. A few pages are walked one by one. Of a
backlog, the rest is cut into half-open sub-windows of about ``RECORDS_EACH`` records, as dense as
the last ones were; their pages are prepared where they are fetched and handed on in order.
Read-ahead is bounded in bytes: memory does not grow with the backlog.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from shared.polling.prepare import PreparedPage
from shared.source.stream import Page, Source, Window

# Nearly two of a vendor's largest pages: records are never quite evenly spread, and a third page
# for a handful of them costs a whole request.
RECORDS_EACH = 1_950
READ_AHEAD_BYTES = 16_000_000
# Sub-windows begun for each that is fetched at a time: whoever is done waits for no other.
_AHEAD = 2
_SHORTEST = timedelta(milliseconds=10)


def prefetch_pages(
    source: Source, window: Window | None, prepare: Callable[[Page], PreparedPage]
) -> Generator[PreparedPage, None, None]:
    """The window's pages, ascending. Raises whatever the source raises, at its place in order."""
    pages = source.pages(window)
    handed = 0
    for page in pages:
        prepared = prepare(page)
        handed += len(page.records)
        left = (page.total or 0) - handed
        backlog = source.parallelism > 1 and left > RECORDS_EACH and not page.last
        last = prepared.last_time
        del page  # as in ``SubWindow.fetch``
        yield prepared
        del prepared
        # An object that was changed since it was found may be newer than all of the window.
        if backlog and window is not None and last is not None and last < window.end:
            rest = Window(max(last, window.start), window.end)
            yield from _prefetch_in_parallel(source, rest, left, prepare)
            return


class SubWindow:
    """One sub-window's pages on their way from the thread that fetches to the one that delivers."""

    def __init__(self, window: Window, limit: int) -> None:
        self.window = window
        self.total: int | None = None
        self._limit = limit
        self._pages: deque[PreparedPage] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._ended = False
        self._stopped = False
        self._error: Exception | None = None

    def fetch(self, source: Source, prepare: Callable[[Page], PreparedPage]) -> None:
        """Runs in a thread of its own until the pages end, fail or are not wanted any more."""
        try:
            for page in () if self._stopped else source.pages(self.window):
                if self.total is None:
                    self.total = page.total or len(page.records)
                prepared = prepare(page)
                # An answer's memory goes before the next one's comes.
                del page
                if not self._put(prepared):
                    return
        except Exception as error:  # noqa: BLE001  (raised to the reader, at its place in order)
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, page: PreparedPage) -> bool:
        with self._changed:
            while self._pages and self._bytes + page.size > self._limit and not self._stopped:
                self._changed.wait()
            self._pages.append(page)
            self._bytes += page.size
            self._changed.notify_all()
            return not self._stopped

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[PreparedPage]:
        while True:
            with self._changed:
                while not self._pages and not self._ended:
                    self._changed.wait()
                if not self._pages:
                    break
                page = self._pages.popleft()
                self._bytes -= page.size
                self._changed.notify_all()
            yield page
        if self._error is not None:
            raise self._error


def _prefetch_in_parallel(
    source: Source, rest: Window, left: int, prepare: Callable[[Page], PreparedPage]
) -> Iterator[PreparedPage]:
    width = (rest.end - rest.start) / max(left / RECORDS_EACH, 1)
    start = rest.start
    ahead: deque[SubWindow] = deque()
    most = source.parallelism * _AHEAD
    with ThreadPoolExecutor(source.parallelism, thread_name_prefix="pages") as fetchers:
        try:
            while ahead or start < rest.end:
                while start < rest.end and len(ahead) < most:
                    end = min(start + max(width, _SHORTEST), rest.end)
                    part: SubWindow = SubWindow(Window(start, end), READ_AHEAD_BYTES // most)
                    fetchers.submit(part.fetch, source, prepare)
                    ahead.append(part)
                    start = end
                part = ahead[0]
                for page in part:
                    page.last = page.last and len(ahead) == 1 and start >= rest.end
                    yield page
                ahead.popleft()
                width = _next_width(part.window, part.total or 0, width)
        finally:
            for part in ahead:
                part.stop()


def _next_width(window: Window, total: int, width: timedelta) -> timedelta:
    """As wide as ``RECORDS_EACH`` at the density just found, at most four times off the last."""
    dense = (window.end - window.start) * (RECORDS_EACH / max(total, 1))
    return max(min((dense + width) / 2, width * 4), width / 4)
