"""A walk through a stream's records, which a checkpoint can interrupt and resume."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

from shared.polling.prepare import PreparedPage
from shared.state.progress import Progress


class Walk(Protocol):
    """One way of reading a stream: a window of time, a snapshot, or a look by id.

    For each page of ``pages`` call ``begin``, deliver it, and call ``end``. ``progress`` is that of
    the stream once all pages so far are delivered, ``progress_at(n)`` once all pages before and the
    first n records of this one are.
    """

    progress: Progress

    def pages(self) -> Generator[PreparedPage, None, None]: ...

    def begin(self, page: PreparedPage) -> None: ...

    def progress_at(self, number: int) -> Progress: ...

    def end(self, page: PreparedPage) -> None: ...
