"""Yield a window's pages in ascending order; fetch a backlog's sub-windows in parallel.

The first page tells how many records the window has. Read a few pages sequentially, as well as a
moment of more records than a page, and a window that an earlier run left inside one. Cut a longer
rest into half-open sub-windows of about ``RECORDS_EACH`` records, by the density of the last ones;
prepare their pages in the threads that fetch them and yield them in order. Read-ahead is bounded in
bytes, so memory does not grow with the backlog.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import gt
from typing import cast

from shared.polling.prepare import PreparedPage
from shared.source.stream import Page, ResumableSource, Source, Window
from shared.state.fingerprints import Fingerprint

# A little under two of a vendor's largest pages: records are not spread evenly, and a third page
# for a few of them costs a whole request.
RECORDS_EACH = 1_950
READ_AHEAD_BYTES = 16_000_000
# Sub-windows begun per fetching thread, so that a thread with a short one need not wait.
_AHEAD = 2
_SHORTEST = timedelta(milliseconds=10)
# A page with more records out of order than this says nothing of how far the window is read.
_OUT_OF_ORDER = 2


@dataclass(frozen=True, slots=True)
class Resume:
    """Where an earlier run left a window: behind ``cursor``, in the part that ends at ``end``.

    Records from ``newest`` on do not move the position.
    """

    cursor: str
    end: datetime
    newest: datetime


def prefetch_pages(
    source: Source,
    window: Window,
    prepare: Callable[[Page], PreparedPage],
    resume: Resume | None = None,
) -> Generator[PreparedPage, None, None]:
    """Yield the window's pages, oldest first; raise the source's errors at their place in order.

    With ``resume``, those behind that place; the window's start is the position that goes with it.
    """
    rest: Window | None = window
    if resume:
        rest = yield from _resumed(source, window, prepare, resume)
    if rest:
        yield from _prefetch(source, rest, prepare)


def _resumed(
    source: Source, window: Window, prepare: Callable[[Page], PreparedPage], resume: Resume
) -> Generator[PreparedPage, None, Window | None]:
    """Yield pages behind the cursor, and return what is left of the window; None: nothing.

    Leave the cursor where a page moves the position: from there the rest can be cut. Leaving it for
    a page that does not would have each run read the same again.
    """
    part = replace(window, end=resume.end)
    moving = replace(part, end=min(resume.end, resume.newest))
    for page in cast(ResumableSource, source).pages(part, resume.cursor):
        prepared = _prepared(page, part, prepare)
        prepared.last = page.last and part.end >= window.end
        cut = _cut(prepared, moving, strictly=True)
        leave = source.parallelism > 1 and not page.last and cut is not None and cut > part.start
        del page  # free it before the next one is read
        yield prepared
        if leave and cut is not None:
            return replace(window, start=cut)
    return replace(window, start=part.end) if part.end < window.end else None


def _prefetch(
    source: Source, window: Window, prepare: Callable[[Page], PreparedPage]
) -> Generator[PreparedPage, None, None]:
    pages = source.pages(window)
    records_read, total = 0, 0
    for page in pages:
        prepared = _prepared(page, window, prepare)
        records_read += len(page.records)
        total = page.total or total
        left = total - records_read
        backlog = source.parallelism > 1 and left > RECORDS_EACH and not page.last
        cut = _cut(prepared, window) if backlog else None
        again = _from(prepared, cut)
        del page  # free it before the next one is read
        yield prepared
        del prepared
        # A moment of more records than a page is read on by its cursor.
        if cut is not None and cut > window.start:
            rest = _prefetch_in_parallel(source, replace(window, start=cut), left, prepare)
            with contextlib.closing(rest):
                if first := next(rest, None):
                    yield first.only([known not in again for known in first.fingerprints])
                    del first
                yield from rest
            return


def _from(page: PreparedPage, cut: datetime | None) -> set[Fingerprint]:
    """The records of the page at or after ``cut``, which the next one brings again."""
    if cut is None:
        return set()
    pairs = zip(page.times, page.fingerprints, strict=True)
    return {known for moment, known in pairs if moment and moment >= cut}


def _prepared(page: Page, window: Window, prepare: Callable[[Page], PreparedPage]) -> PreparedPage:
    prepared = prepare(page)
    prepared.cursor_end = window.end
    if page.last:
        prepared.complete_to = window.end
    return prepared


def _cut(page: PreparedPage, window: Window, *, strictly: bool = False) -> datetime | None:
    """A time inside the window before which all is read; None where the page does not tell.

    ``strictly``: believe a page alone that has no record out of order.
    """
    times = [moment for moment in page.times if moment is not None and moment < window.end]
    if not page.ordered or not times or sum(map(gt, times, times[1:])) > _OUT_OF_ORDER:
        return None
    if strictly and (times != sorted(times) or times[0] < window.start):
        return None
    return max(trusted_time(sorted(times)), window.start)


def trusted_time(times: Sequence[datetime]) -> datetime:
    """The time before which all is read, by a page's sorted times.

    Not the last of them: a record out of order, or updated while paging, would move it beyond
    others that are still to come.
    """
    return times[max(len(times) - 1 - _OUT_OF_ORDER, 0)]


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
                prepared = _prepared(page, self.window, prepare)
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
) -> Generator[PreparedPage, None, None]:
    """Fetch sub-windows of ``rest``, ``source.parallelism`` at a time; yield pages in order."""
    # Begin with sub-windows of a page: the next one is delivered while its thread reads on.
    width = (rest.end - rest.start) / max(2 * left / RECORDS_EACH, 1)
    start = rest.start
    ahead: deque[SubWindow] = deque()
    limit = source.parallelism * _AHEAD
    with ThreadPoolExecutor(source.parallelism, thread_name_prefix="pages") as fetchers:
        try:
            while ahead or start < rest.end:
                while start < rest.end and len(ahead) < limit:
                    end = min(start + max(width, _SHORTEST), rest.end)
                    part = SubWindow(replace(rest, start=start, end=end), READ_AHEAD_BYTES // limit)
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
