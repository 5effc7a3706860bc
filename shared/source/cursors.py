"""Read a window by the vendor's cursors; walk on where one is refused, stop where they repeat."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from shared.errors import VendorRefused
from shared.records.timestamps import parse_time
from shared.source.client import ApiResponse
from shared.source.stream import Page, Window

RESTARTS = 3

logger = logging.getLogger("connectors.vendor")


class CursorRefused(Exception):
    """The vendor does not take a cursor; ``error`` is its answer."""

    def __init__(self, error: VendorRefused) -> None:
        self.error = error
        super().__init__(str(error))


@contextlib.contextmanager
def cursor_errors(cursor: str) -> Iterator[None]:
    """Raise CursorRefused for a 400 to a request that has ``cursor``, if it has one."""
    try:
        yield
    except VendorRefused as error:
        if cursor and error.status == 400:
            raise CursorRefused(error) from error
        raise


class CursorWatch:
    """See that a walk's cursors lead on, whatever the length of a circle that they lead in.

    ``cursor`` is the one that the walk begins with. By Brent's method: keep one of them and compare
    those that follow, two of them at first, then twice as many each time.
    https://maths-people.anu.edu.au/~brent/pub/pub051.html
    """

    def __init__(self, cursor: str) -> None:
        self._kept = cursor
        self._length = self._left = 1

    def check(self, response: ApiResponse, cursor: str, name: str) -> None:
        """Raise VendorAnswerInvalid where ``cursor``, the one that follows, has come before."""
        if cursor and cursor == self._kept:
            raise response.invalid(f"with the same {name} twice")
        self._left -= 1
        if not self._left:
            self._kept = cursor
            self._length *= 2
            self._left = self._length


def next_cursor(response: ApiResponse, name: str) -> str:
    """The cursor ``name`` of an answer's ``pagination``; '' where its page is the last."""
    pagination = response.json.get("pagination")
    cursor = pagination.get(name) if isinstance(pagination, dict) else None
    if not cursor:
        return ""
    if not isinstance(cursor, str):
        raise response.invalid(f"with a {name} that is no text")
    return cursor


def walk_window(
    window: Window,
    after: str,
    walk: Callable[[Window, str], Iterator[Page]],
    reached: Callable[[Page], datetime | None],
) -> Iterator[Page]:
    """The window's pages behind ``after``, ``2026-01-02T03:04:05.678Z <cursor>``.

    The time is the start that the cursor was made for, as ``walk`` names its pages' cursors. Where
    ``walk`` raises CursorRefused it begins anew from the time that ``reached`` tells of the last
    page, None for none, or from where it began if that is later; raises VendorRefused after
    ``RESTARTS`` that came no further.
    """
    began, _, cursor = after.partition(" ")
    start, restarts = window.start, 0
    furthest = start - window.overlap
    pages = walk(replace(window, start=parse_time(began) or start), cursor)
    while True:
        come_to = start
        try:
            for page in pages:
                come_to = reached(page) or come_to
                yield page
                del page
            return
        except CursorRefused as refused:
            restarts = 0 if come_to > furthest else restarts + 1
            furthest = max(furthest, come_to)
            if restarts > RESTARTS:
                raise refused.error from None
            logger.info("%s: a cursor was refused, walking on from there", refused.error)
            start = max(start, come_to)
            pages = walk(replace(window, start=start), "")
