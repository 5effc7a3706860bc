"""What a connector tells the engine: its streams, and how to read pages of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from shared.records.raw import Record


@dataclass(frozen=True, slots=True)
class Window:
    """Times from ``start`` on to before ``end``, both aware UTC: half-open, so edges are shared."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """One page of records.

    ``size`` is the answer's bytes; ``total`` how many records the vendor says the whole window has,
    None where it did not say; ``vendor_time`` the ``Date`` of the answer; ``last`` whether the
    window is known to end with it.
    """

    records: Sequence[Record]
    size: int
    total: int | None = None
    vendor_time: datetime | None = None
    last: bool = False


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of record: how it is named, timed and known again.

    ``name`` is the rule's stream (``Custom-…``), ``setting_name`` what people choose it by.
    ``watermark`` and ``event_time`` are the paths (``threatInfo.updatedAt``) of the time that the
    vendor filters by and of the time the event happened; '' for a snapshot, which has neither.
    ``key`` are the paths whose values together name a record; of several ``keys`` the first whose
    values are there counts. ``inventory`` streams are looked at hourly; an ``optional`` one may be
    missing from a licence. Fields named in ``redact`` are the vendor's secrets: they are removed at
    any depth. A snapshot is sent where its content changed.
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
