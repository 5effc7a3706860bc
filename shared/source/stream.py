"""What a connector tells the engine: its streams, and how to read pages of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared.records.raw import Record


@dataclass(frozen=True, slots=True)
class Window:
    """Times from ``start`` on to before ``end``, both aware UTC: half-open, so edges are shared.

    ``overlap`` is how late a record may appear and must still arrive: a source whose order is not
    that of the times has read all before its newest one less the overlap.
    """

    start: datetime
    end: datetime
    overlap: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Page:
    """One page of records.

    ``size`` is the answer's bytes; ``total`` how many records the vendor says the whole window has,
    None where it did not say; ``vendor_time`` the ``Date`` of the answer; ``last`` whether the
    window is known to end with it. ``cursor`` resumes behind this page, also in a later run: text
    that a ``ResumableSource`` takes, '' where there is none. ``complete_to``: with this
    page every record of the window before that time has come. ``ordered`` is False for a page
    that later ones may precede in time; only ``complete_to`` tells then how far the window is read.
    """

    records: Sequence[Record]
    size: int
    total: int | None = None
    vendor_time: datetime | None = None
    last: bool = False
    cursor: str = ""
    complete_to: datetime | None = None
    ordered: bool = True


@dataclass(frozen=True, slots=True)
class ById:
    """How a stream is read whose times are not when the vendor learned of its records.

    Each poll reads the highest ids down to the highest one of the last poll. Where ids are seen not
    to grow, a window that reaches ``back`` further (None: to the beginning) is read ``every`` so
    often instead; ``meaning`` says so to a person.
    """

    every: timedelta
    back: timedelta | None
    meaning: str


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of record: how it is named, timed and known again.

    ``name`` is the rule's stream (``Custom-…``), ``setting_name`` what people choose it by.
    ``watermark`` and ``event_time`` are the paths (``threatInfo.updatedAt``) of the time that the
    vendor filters by and of the time the event happened; '' for a snapshot, which has neither.
    ``key`` are the paths whose values together name a record; of several ``keys`` the first whose
    values are there counts. ``inventory`` streams are looked at hourly; an ``optional`` one may be
    missing from a licence. Fields named in ``redact`` are the vendor's secrets: they are removed at
    any depth. A snapshot is sent where its content changed. ``by_id``: it is read by its first key
    too, and its source is an ``IdSource``.
    """

    name: str
    setting_name: str
    watermark: str
    event_time: str
    keys: tuple[tuple[str, ...], ...]
    added: Mapping[str, Any] = field(default_factory=dict)
    redact: tuple[str, ...] = ()
    optional: bool = False
    inventory: bool = False
    by_id: ById | None = None

    @property
    def snapshot(self) -> bool:
        """Whether it is read whole each time and compared with what was sent last."""
        return not self.watermark


class Source(Protocol):
    """One stream of one vendor, as the engine reads it.

    ``pages`` of a window come in ascending order of the watermark's time; a snapshot's window is
    None. ``parallelism`` is into how many sub-windows a backlog may be cut at a time: 1 where the
    vendor cannot be asked so. Raises the VendorError tree.
    """

    stream: Stream
    parallelism: int

    def pages(self, window: Window | None, /) -> Iterator[Page]: ...


class ResumableSource(Source, Protocol):
    """A source whose pages have cursors.

    With ``after``, a page's cursor, ``pages`` resumes behind that page: the window's end is then
    that of the pages before, its start a time before which all is read. A cursor that the vendor
    refuses is read from the window's start. Without cursors, more records of one moment than a run
    can read would be read again and again.
    """

    def pages(self, window: Window | None, after: str = "", /) -> Iterator[Page]: ...


class IdSource(ResumableSource, Protocol):
    """A source that also lists all its records by id.

    ``newest`` yields them highest id first; with ``after``, a page's cursor, behind that page, or
    from the highest again where the vendor refuses the cursor.
    """

    def newest(self, after: str = "", /) -> Iterator[Page]: ...
