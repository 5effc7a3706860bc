"""Read all there is of a stream without a time; a cursor tells how far an unfinished run came."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import cast

from shared.polling.prepare import PreparedPage
from shared.source.stream import Page, ResumableSource, Source
from shared.state.progress import MAX_CURSOR, Progress


class SnapshotWalk:
    """The walk through a snapshot, from the cursor of ``progress`` on; see ``walk.Walk``."""

    def __init__(
        self, source: Source, prepare: Callable[[Page], PreparedPage], progress: Progress
    ) -> None:
        self._source = source
        self._prepare = prepare
        self.progress = progress

    def pages(self) -> Generator[PreparedPage, None, None]:
        """The pages behind the cursor."""
        cursor = self.progress.cursor
        source = self._source
        pages = cast(ResumableSource, source).pages(None, cursor) if cursor else source.pages(None)
        yield from map(self._prepare, pages)

    def begin(self, page: PreparedPage) -> None:
        """A snapshot's page needs no preparation."""

    def progress_at(self, number: int) -> Progress:  # noqa: ARG002  (part of the Protocol)
        """The progress behind the last page: a cursor is between pages."""
        return self.progress

    def end(self, page: PreparedPage) -> None:
        """Move the cursor behind the page."""
        cursor = page.cursor if len(page.cursor) <= MAX_CURSOR else ""
        self.progress = replace(self.progress, cursor=cursor)
