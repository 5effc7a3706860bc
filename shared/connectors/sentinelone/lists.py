"""List endpoints: filtered by time, sorted by it, paged by cursor."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import unquote

from shared.connectors.sentinelone.answers import API, Listed, epoch_milliseconds, list_of, total
from shared.records.raw import decoded, getter
from shared.records.timestamps import isoformat, parse_time
from shared.source.client import ApiClient, ApiResponse
from shared.source.cursors import (
    RESTARTS,
    CursorRefused,
    CursorWatch,
    cursor_errors,
    next_cursor,
    walk_window,
)
from shared.source.page_limit import PageLimit
from shared.source.stream import Page, Stream, Window

PARALLELISM = 4


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A list endpoint: ``filter_by`` is the time's name in its filters, ``sort_by`` in its sort.

    ``between`` endpoints know only ``__between`` in milliseconds, with both ends inclusive.
    """

    path: str
    filter_by: str
    sort_by: str
    limit: int = 1000
    between: bool = False


class ListSource:
    """One list endpoint as a source: ascending pages by cursor."""

    parallelism = PARALLELISM

    def __init__(self, client: ApiClient, url: str, stream: Stream, endpoint: Endpoint) -> None:
        self.stream = stream
        self._client = client
        self._endpoint = endpoint
        self._limit = PageLimit(endpoint.limit)
        self._url = url + API + endpoint.path
        self._watermark = getter(stream.watermark)

    def pages(self, window: Window | None, after: str = "") -> Iterator[Page]:
        """The window's pages; ``after`` is the vendor's cursor behind the start it was made for.

        A cursor that is refused half-way begins anew at the last record's time.
        """
        if window is None:
            raise ValueError(f"{self.stream.name} is read by windows")

        def reached(page: Page) -> datetime | None:
            return self._last_time(page, window.end)

        yield from walk_window(window, after, self._walk, reached)

    def newest(self, after: str = "") -> Iterator[Page]:
        """All records, highest id first; a cursor that is refused begins with the highest again."""
        restarts = 0
        while True:
            try:
                yield from self._pages({"sortBy": "id", "sortOrder": "desc"}, after)
                return
            except CursorRefused as refused:
                restarts += 1
                if restarts > RESTARTS:
                    raise refused.error from None
                after = ""

    def _walk(self, window: Window, cursor: str) -> Iterator[Page]:
        """The pages of a window, whose cursors say for which start they were made."""
        sort = {"sortBy": self._endpoint.sort_by, "sortOrder": "asc"}
        start = isoformat(window.start)
        for page in self._pages({**sort, **self._filters(window)}, cursor):
            yield replace(page, cursor=f"{start} {page.cursor}") if page.cursor else page
            del page

    def _pages(self, asked: Mapping[str, str], cursor: str) -> Iterator[Page]:
        """The pages of one list. Raises CursorRefused."""
        watch = CursorWatch(cursor)
        while True:
            # A cursor is tied to its filters and its sort: the same go with each.
            params = dict(asked)
            if cursor:
                params |= {"cursor": cursor, "skipCount": "true"}
            with cursor_errors(cursor):
                response = self._client.get(self._url, params, Listed, self._limit)
            page = listed_page(response, watch, "data")
            last, cursor = page.last, page.cursor
            del response
            yield page
            del page  # a page's memory goes before the next one's comes
            if last:
                return

    def _filters(self, window: Window) -> dict[str, str]:
        name = self._endpoint.filter_by
        if self._endpoint.between:
            low, high = epoch_milliseconds(window)
            return {f"{name}__between": f"{low}-{high}"}
        return {f"{name}__gte": isoformat(window.start), f"{name}__lt": isoformat(window.end)}

    def _last_time(self, page: Page, end: datetime) -> datetime | None:
        """The last record's; one that was changed since it was found may lie behind the window."""
        times = (parse_time(self._watermark(decoded(record))) for record in reversed(page.records))
        return next((moment for moment in times if moment and moment < end), None)


def listed_page(response: ApiResponse, watch: CursorWatch, *names: str) -> Page:
    """The page of a list's answer, its records at ``names``; ``watch`` is the walk's."""
    records = list_of(response, *names)
    following = _next_cursor(response)
    watch.check(response, following, "nextCursor")
    return Page(
        records,
        response.size,
        total(response.json.get("pagination")),
        response.vendor_time,
        not following,
        cursor=following,
    )


def _next_cursor(response: ApiResponse) -> str:
    cursor = next_cursor(response, "nextCursor")
    # Base64 has no percent sign: one that has was encoded already, and would be so twice.
    return unquote(cursor) if re.search(r"%[0-9A-Fa-f]{2}", cursor) else cursor
