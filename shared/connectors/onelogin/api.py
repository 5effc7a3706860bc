"""OneLogin's events by its API: filtered by time, paged by cursor.

https://developers.onelogin.com/api-docs/1/events/get-events: ``since`` and ``until`` filter by
``created_at``, in milliseconds, and are described as exclusive; up to 50 events a page;
``sort=+id`` is ascending, in the order in which events were listed: one that was listed late stands
behind younger ones. An event never changes. An account has 5,000 calls an hour, shared by all
that use its API; a 429 tells by ``X-RateLimit-Reset`` when the next hour begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from shared.records.raw import Record, decoded, records_of
from shared.records.timestamps import isoformat, parse_time
from shared.source.client import ApiClient
from shared.source.cursors import CursorWatch, cursor_errors, next_cursor, walk_window
from shared.source.stream import Page, Stream, Window

PATH = "/api/1/events"
TOKEN_PATH = "/auth/oauth2/v2/token"  # noqa: S105 - a path
LIMIT = 50  # OneLogin's maximum
# The first requests of a run are free, so that a poll of a few pages waits for nothing; a backlog
# then leaves calls of the hour to whatever else the account runs.
BURST = 100
REQUESTS_PER_SECOND = 1.0
_MILLISECOND = timedelta(milliseconds=1)

LISTED = Stream(
    name="Custom-OneLogin",
    setting_name="onelogin",
    watermark="created_at",
    event_time="created_at",
    keys=(("id",),),
)


class _Listed(msgspec.Struct):
    data: list[Record]
    pagination: Any = None


class EventList:
    """The list of events as a source: ascending pages by cursor."""

    stream = LISTED
    parallelism = 1

    def __init__(self, client: ApiClient, url: str) -> None:
        self._client = client
        self._url = url + PATH

    def pages(self, window: Window | None, after: str = "") -> Iterator[Page]:
        """The window's pages; ``after`` is a page's cursor: the start it was made for, and
        OneLogin's cursor.

        After a cursor that is refused half-way, start again an overlap before the newest event.
        """
        if window is None:
            raise ValueError("OneLogin's events are read by windows")
        yield from walk_window(window, after, self._walk, lambda page: page.complete_to)

    def _walk(self, window: Window, cursor: str) -> Iterator[Page]:
        """The pages of a window, from ``cursor`` on. Raises CursorRefused."""
        asked = {"limit": LIMIT, "sort": "+id", **_bounds(window)}
        fresh = not cursor
        watch = CursorWatch(cursor)
        while True:
            params = {**asked, "after_cursor": cursor} if cursor else asked
            with cursor_errors(cursor):
                response = self._client.get(self._url, params, _Listed)
            records = records_of(response.require("data"))
            if records is None:
                raise response.invalid("with data that is no list of objects")
            following = next_cursor(response, "after_cursor")
            watch.check(response, following, "after_cursor")
            if fresh:
                records = _from(window.start, records)
                fresh = False
            yield Page(
                records,
                response.size,
                vendor_time=response.vendor_time,
                last=not following,
                cursor=f"{isoformat(window.start)} {following}" if following else "",
                complete_to=_complete_to(window, records),
                ordered=False,
            )
            del records, response  # a page's memory goes before the next one's comes
            if not following:
                return
            cursor = following


def _bounds(window: Window) -> dict[str, str]:
    """The window in milliseconds, a bit wider, since both ends may be exclusive."""
    end = window.end
    if end.microsecond % 1000:
        end += _MILLISECOND
    return {"since": _milliseconds(window.start - _MILLISECOND), "until": _milliseconds(end)}


def _milliseconds(moment: datetime) -> str:
    """``2026-01-02T03:04:05.678Z``, rounded down."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _from(start: datetime, records: list[Record]) -> list[Record]:
    """Leave out the events before the window, which the wider bounds may bring."""
    start = start.replace(microsecond=start.microsecond // 1000 * 1000)
    for number, record in enumerate(records):
        moment = parse_time(decoded(record).get(LISTED.watermark))
        if moment is None or moment >= start:
            return records[number:]
    return []


def _complete_to(window: Window, records: list[Record]) -> datetime | None:
    """The time before which all is read with these records; None where they tell none.

    Ids grow as events are listed: what comes behind these was listed after them, so that it
    happened at most an overlap before the newest of them.
    """
    found = (parse_time(decoded(record).get(LISTED.watermark)) for record in records)
    newest = max((moment for moment in found if moment), default=None)
    return newest - window.overlap if newest else None
