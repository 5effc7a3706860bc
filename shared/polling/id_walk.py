"""Look at a stream by id: from the highest one down to the highest one of the last look.

For streams whose times are not when the vendor learned of their records: the clock of a device that
was off line, the day on which an application was installed. Ids are taken to grow as records
arrive; ``IdsDoNotGrow`` is raised where the vendor's answers show otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

from shared.errors import VendorAnswerInvalid
from shared.polling.prepare import PreparedPage
from shared.source.stream import IdSource, Page
from shared.state.progress import MAX_CURSOR, Progress

# The known id of a stream that had no record yet.
NO_ID = "0"


class IdsDoNotGrow(VendorAnswerInvalid):
    """The vendor's answers cannot be read by id; the text says why."""


class IdWalk:
    """The look by id that ``progress`` has open, or a new one; see ``walk.Walk``.

    ``only_note``: deliver nothing, and note the highest id for the next look.
    """

    def __init__(
        self,
        source: IdSource,
        prepare: Callable[[Page], PreparedPage],
        progress: Progress,
        now: datetime,
        *,
        only_note: bool,
    ) -> None:
        self._source = source
        self._prepare = prepare
        self._now = now
        self._only_note = only_note
        self._bottom = int(progress.known_id or -1)
        self._new = not progress.top_id
        self._page: PreparedPage | None = None
        self.progress = replace(progress, look_start=now) if self._new else progress

    @property
    def started(self) -> datetime:
        """When the look began, by the vendor's clock where that is behind the host's."""
        return self.progress.look_start or self._now

    def pages(self) -> Generator[PreparedPage, None, None]:
        """Pages of the records that no look has delivered; the last one reaches the bottom."""
        before: int | None = None
        for raw in self._source.newest("" if self._new else self.progress.cursor):
            page = self._prepare(raw)
            ids = [number for number in page.ids if number is not None]
            # A source whose cursor is refused begins again with the highest id.
            again = bool(ids) and before is not None and ids[0] >= int(self.progress.top_id)
            chain = ids if before is None or again else [before, *ids]
            if len(ids) != len(page.ids) or any(a < b for a, b in pairwise(chain)):
                raise IdsDoNotGrow("its answers are not in the order of ids that are numbers")
            before = ids[-1] if ids else before
            if self._new and (ids or raw.last):
                self._begin_look(page, ids)
            bottom = self._bottom if not self._only_note else (ids[0] if ids else -1)
            page.last = raw.last or bool(ids and ids[-1] <= bottom)
            yield self._new_ones(page, ids, bottom)
            if page.last:
                return

    def _begin_look(self, page: PreparedPage, ids: list[int]) -> None:
        self._new = False
        top = str(ids[0]) if ids else self.progress.known_id or NO_ID
        start = self.progress.look_start
        if start and page.vendor_time:
            start = min(start, page.vendor_time)
        self.progress = replace(self.progress, top_id=top, reached_id="", look_start=start)

    def _new_ones(self, page: PreparedPage, ids: list[int], bottom: int) -> PreparedPage:
        """The page with those records alone that this look has yet to deliver."""
        if not ids:
            return page
        top = int(self.progress.top_id)
        below = int(self.progress.reached_id) if self.progress.reached_id else top + 1
        wanted = [bottom < number < below for number in ids]
        return page.only(wanted)

    def begin(self, page: PreparedPage) -> None:
        """Remember the page, whose ids tell how far down the look has come."""
        self._page = page

    def progress_at(self, number: int) -> Progress:
        """Down to the record before ``number`` all is delivered."""
        if not number or not self._page:
            return self.progress
        return replace(self.progress, reached_id=str(self._page.ids[number - 1]))

    def end(self, page: PreparedPage) -> None:
        """Move down to the page's last record, and the cursor behind the page."""
        cursor = page.cursor if len(page.cursor) <= MAX_CURSOR else ""
        reached = str(page.ids[-1]) if page.ids else self.progress.reached_id
        self.progress = replace(self.progress, cursor=cursor, reached_id=reached)

    def reached_bottom(self) -> Progress:
        """The progress once the look is over: its top is the known id.

        One that is lower leaves the known id as it is: the highest record was deleted, or an older
        copy of the vendor's data answered, and the records above it have come.
        """
        past = self.progress
        known = max(past.top_id, past.known_id or NO_ID, key=int)
        return replace(past, known_id=known, top_id="", reached_id="", cursor="", look_start=None)
