"""Yield a window's pages in ascending order; fetch a backlog's sub-windows in parallel.

The first page tells how many records the window has. Read a few pages sequentially. Cut a longer
rest into half-open sub-windows of about ``RECORDS_EACH`` records, by the density of the last ones;
prepare their pages in the threads that fetch them and yield them in order. Read-ahead is bounded in
bytes, so memory does not grow with the backlog.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from shared.polling.prepare import PreparedPage
from shared.source.stream import Page, Source, Window

# A little under two of a vendor's largest pages: records are not spread evenly, and a third page
# for a few of them costs a whole request.
RECORDS_EACH = 1_950
READ_AHEAD_BYTES = 16_000_000
# Sub-windows begun per fetching thread, so that a thread with a short one need not wait.
_AHEAD = 2
_SHORTEST = timedelta(milliseconds=10)


def prefetch_pages(
    source: Source, window: Window | None, prepare: Callable[[Page], PreparedPage]
) -> Generator[PreparedPage, None, None]:
    """Yield the window's pages, oldest first; raise the source's errors at their place in order."""
    pages = source.pages(window)
    records_read = 0
    for page in pages:
        prepared = prepare(page)
        records_read += len(page.records)
        left = (page.total or 0) - records_read
        backlog = source.parallelism > 1 and left > RECORDS_EACH and not page.last
        last = prepared.last_time
        del page  # free it before the next one is read
        yield prepared
        del prepared
        # Cut at times inside the window only: a record updated while paging may be beyond it.
        if backlog and window is not None and last is not None and last < window.end:
            rest = Window(max(last, window.start), window.end)
            yield from _prefetch_in_parallel(source, rest, left, prepare)
            return


class SubWindow:
    """A bounded queue of one sub-window's pages, from the fetching thread to the delivering one."""

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
        """Read all pages, in a fetching thread, until they end, fail or ``stop`` is called."""
        try:
            for page in () if self._stopped else source.pages(self.window):
                if self.total is None:
                    self.total = page.total or len(page.records)
                prepared = prepare(page)
                del page  # free it before the next one is read
                if not self._put(prepared):
                    return
        except Exception as error:  # noqa: BLE001  (raised to the reader, at its place in order)
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, page: PreparedPage) -> bool:
        """Wait for room and add the page; False after ``stop``."""
        with self._changed:
            while self._pages and self._bytes + page.size > self._limit and not self._stopped:
                self._changed.wait()
            self._pages.append(page)
            self._bytes += page.size
            self._changed.notify_all()
            return not self._stopped

    def stop(self) -> None:
        """Make ``fetch`` end after the page in flight."""
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
    """Fetch sub-windows of ``rest``, ``source.parallelism`` at a time; yield pages in order."""
    width = (rest.end - rest.start) / max(left / RECORDS_EACH, 1)
    start = rest.start
    ahead: deque[SubWindow] = deque()
    limit = source.parallelism * _AHEAD
    with ThreadPoolExecutor(source.parallelism, thread_name_prefix="pages") as fetchers:
        try:
            while ahead or start < rest.end:
                while start < rest.end and len(ahead) < limit:
                    end = min(start + max(width, _SHORTEST), rest.end)
                    part = SubWindow(Window(start, end), READ_AHEAD_BYTES // limit)
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
    """The width for ``RECORDS_EACH`` at the density just found; at most a factor 4 per step."""
    dense = (window.end - window.start) * (RECORDS_EACH / max(total, 1))
    return max(min((dense + width) / 2, width * 4), width / 4)
