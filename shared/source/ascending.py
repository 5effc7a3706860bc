"""Re-sort an API that is newest first, or in no order: read a window, sort it, bisect a long one.

Read the older half first: memory stays bounded, and pages come in ascending order. A window that
cannot be bisected, a second at least, is handed on in pieces that a cursor resumes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain

from shared.errors import VendorAnswerInvalid, VendorRefused
from shared.records.raw import Record, decoded, getter
from shared.records.timestamps import isoformat, parse_time
from shared.source.stream import Page, Window

PAGES = 10
_SHORTEST = timedelta(seconds=1)
_NO_TIME = datetime.min.replace(tzinfo=UTC)

logger = logging.getLogger("connectors.vendor")

FetchPages = Callable[[Window, str], Iterator[Page]]


def ascending(
    window: Window, fetch: FetchPages, time_path: str, page_size: int, after: str = ""
) -> Iterator[Page]:
    """Yield one page per (sub-)window, oldest record first by ``time_path``.

    ``fetch`` yields a window's pages in the vendor's order, behind the cursor that it is given;
    each may tell the window's ``total``, and its own cursor. ``after`` is the cursor of a page that
    was yielded for the same window. Raises the errors of ``fetch``.
    """
    find = getter(time_path)

    def when(record: Record) -> datetime:
        return parse_time(find(decoded(record))) or _NO_TIME

    waiting = [window]
    if (piece := _parse(after)) and piece[0].end <= window.end:
        part, cursor = piece
        if not cursor:
            waiting = [*_behind(part, window), part]
        elif resumed := _resumed(fetch(part, cursor)):
            waiting = _behind(part, window)
            yield from _in_pieces(part, resumed, when, last=not waiting)
    while waiting:
        part = waiting.pop()
        length = part.end - part.start
        pages = fetch(part, "")
        if length <= _SHORTEST:
            yield from _in_pieces(part, pages, when, last=not waiting)
            continue
        collected, whole = _collect(pages, page_size)
        if not whole:
            middle = part.start + max(length / 2, _SHORTEST)
            older = Window(part.start, middle)
            waiting += [Window(middle, part.end), older]
            # A run that ends here has not bisected in vain.
            vendor_time = collected[0].vendor_time
            yield Page([], 0, vendor_time=vendor_time, cursor=_name(older, ""), ordered=False)
            continue
        yield _sorted(collected, when, part.end, last=not waiting)
        del collected, pages  # free them before the next part is read


def _resumed(pages: Iterator[Page]) -> Iterator[Page] | None:
    """``pages`` behind a stored cursor; None where the vendor does not take that any more."""
    try:
        first = next(pages)
    except VendorRefused as error:
        if error.status != 400:
            raise
    except (VendorAnswerInvalid, StopIteration):
        pass  # GraphQL refuses a cursor in a 200
    else:
        return chain([first], pages)
    logger.info("A stored cursor was refused; reading from the position")
    return None


def _behind(part: Window, window: Window) -> list[Window]:
    return [Window(part.end, window.end)] if part.end < window.end else []


def _collect(pages: Iterator[Page], page_size: int) -> tuple[list[Page], bool]:
    """All pages, and True; the first ones, and False, if they are more than ``PAGES``.

    Believe a total of more beside a full page alone: vendors count records that they never return,
    and the window would be bisected for those down to each second.
    """
    collected: list[Page] = []
    for page in pages:
        collected.append(page)
        told_more = (page.total or 0) > PAGES * page_size and len(page.records) >= page_size
        if len(collected) > PAGES or told_more:
            return collected, False
    return collected, True


def _in_pieces(
    part: Window, pages: Iterator[Page], when: Callable[[Record], datetime], *, last: bool
) -> Iterator[Page]:
    """Yield ``PAGES`` pages at a time of a part that cannot be bisected, in no order among them."""
    collected: list[Page] = []
    for page in pages:
        if len(collected) == PAGES:
            cursor = collected[-1].cursor
            name = _name(part, cursor) if cursor else ""
            yield _sorted(collected, when, None, last=False, cursor=name)
            collected = []
        collected.append(page)
        del page
    yield _sorted(collected, when, part.end, last=last)


def _sorted(
    pages: list[Page],
    when: Callable[[Record], datetime],
    complete_to: datetime | None,
    *,
    last: bool,
    cursor: str = "",
) -> Page:
    records = sorted((r for page in reversed(pages) for r in reversed(page.records)), key=when)
    return Page(
        records,
        sum(page.size for page in pages),
        vendor_time=pages[0].vendor_time if pages else None,
        last=last,
        cursor=cursor,
        complete_to=complete_to,
        ordered=complete_to is not None,
    )


def _name(part: Window, cursor: str) -> str:
    return f"{isoformat(part.start)} {isoformat(part.end)} {cursor}"


def _parse(after: str) -> tuple[Window, str] | None:
    """The part and the vendor's cursor in it that a page's cursor names."""
    names = after.split(" ", 2)
    if len(names) != 3:
        return None
    start, end = parse_time(names[0]), parse_time(names[1])
    return (Window(start, end), names[2]) if start and end else None
