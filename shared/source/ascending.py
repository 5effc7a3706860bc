"""Re-sort a newest-first API: read a window, sort it ascending, bisect one that exceeds PAGES.

Read the older half first: memory stays bounded, and pages come in ascending order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from shared.records.raw import Record, decoded, getter
from shared.records.timestamps import parse_time
from shared.source.stream import Page, Window

PAGES = 10
_SHORTEST = timedelta(seconds=1)
_NO_TIME = datetime.min.replace(tzinfo=UTC)

FetchPages = Callable[[Window], Iterator[Page]]


def ascending(window: Window, fetch: FetchPages, time_path: str, page_size: int) -> Iterator[Page]:
    """Yield one page per (sub-)window, oldest record first by ``time_path``.

    ``fetch`` yields a window's pages in the vendor's order; each may tell the window's ``total``.
    Raises the errors of ``fetch``.
    """
    find = getter(time_path)

    def when(record: Record) -> datetime:
        return parse_time(find(decoded(record))) or _NO_TIME

    waiting = [window]
    while waiting:
        part = waiting.pop()
        length = part.end - part.start
        pages = _collect(fetch(part), PAGES if length > _SHORTEST else None, page_size)
        if pages is None:
            middle = part.start + max(length / 2, _SHORTEST)
            waiting += [Window(middle, part.end), Window(part.start, middle)]
            continue
        records = sorted((r for page in reversed(pages) for r in reversed(page.records)), key=when)
        size = sum(page.size for page in pages)
        vendor_time = pages[0].vendor_time if pages else None
        yield Page(records, size, vendor_time=vendor_time, last=not waiting)
        del pages, records  # free them before the next part is read


def _collect(pages: Iterator[Page], most: int | None, page_size: int) -> list[Page] | None:
    """All pages; None as soon as they turn out to be more than ``most``."""
    collected: list[Page] = []
    for page in pages:
        if most and (len(collected) == most or (page.total or 0) > most * page_size):
            return None
        collected.append(page)
    return collected
