"""Prepare a page of raw records for delivery: encode, time and fingerprint each."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import compress
from typing import Any

from shared.records.declared import MAX_RECORD_BYTES
from shared.records.encoder import Encoder
from shared.records.raw import Record, decoded
from shared.records.reader import Moved, Reader, Values
from shared.records.timestamps import parse_time, utc_now
from shared.runtime.process import on_reset
from shared.runtime.turns import TURNS
from shared.source.stream import Page, Stream
from shared.state.fingerprints import Fingerprint, fingerprint

# Read so many records at a time: the values parsed from them (all of ``threatInfo``, say) are freed
# before the next chunk, which bounds memory.
_CHUNK_RECORDS = 100

logger = logging.getLogger("connectors.polling")
# Warnings given in this process, as (stream, kind): each is given once.
_warned: set[tuple[str, str]] = set()
on_reset(_warned.clear)


@dataclass(slots=True)
class PreparedPage:
    """A page ready for delivery.

    ``bodies``, ``fingerprints`` and ``times`` are parallel: each record's JSON, fingerprint and
    watermark's time (None: it has none); so are ``ids`` where the stream is read by id (None: no
    number), else there are none. ``size`` is the bytes of all bodies, ``bytes_read`` those of the
    answer. ``cursor``, ``complete_to`` and ``ordered`` are the page's; ``cursor_end`` is the end of
    the window that the cursor belongs to.
    """

    bodies: list[bytes]
    fingerprints: list[Fingerprint]
    times: list[datetime | None]
    size: int
    bytes_read: int
    vendor_time: datetime | None
    last: bool
    ids: list[int | None] = field(default_factory=list)
    cursor: str = ""
    cursor_end: datetime | None = None
    complete_to: datetime | None = None
    ordered: bool = True

    def only(self, wanted: Sequence[bool]) -> PreparedPage:
        """The page with those records alone; ``wanted`` is parallel to them."""
        return replace(
            self,
            bodies=list(compress(self.bodies, wanted)),
            fingerprints=list(compress(self.fingerprints, wanted)),
            times=list(compress(self.times, wanted)),
            ids=list(compress(self.ids, wanted)),
        )


class RecordPreparer:
    """Prepare one stream's pages; ``declared`` and ``connection`` as in ``Encoder``."""

    def __init__(
        self, stream: Stream, declared: frozenset[str] | None, connection: str = ""
    ) -> None:
        self._stream = stream
        self._encode = Encoder(declared, stream.added, stream.redact, connection)
        times = [path for path in (stream.watermark, stream.event_time) if path]
        keys = [path for key in stream.keys for path in key]
        self._read = read = Reader([*times, *keys], self._encode.kept, self._encode.reserved)
        self._watermark = read.getter(stream.watermark) if times else _no_time
        self._event_time = read.getter(times[1]) if len(set(times)) > 1 else None
        self._finders = [_key_finder(read, key) for key in stream.keys]
        self._id = self._finders[0] if stream.by_id else None

    def __call__(self, page: Page) -> PreparedPage:
        bodies: list[bytes] = []
        fingerprints: list[Fingerprint] = []
        times: list[datetime | None] = []
        ids: list[int | None] = []
        for first in range(0, len(page.records), _CHUNK_RECORDS):
            records = page.records[first : first + _CHUNK_RECORDS]
            with TURNS.take():
                values = self._add(records, bodies, fingerprints, times)
            if self._id is not None:
                ids += map(_number, map(self._id, values))
        size = sum(map(len, bodies))
        return PreparedPage(
            bodies,
            fingerprints,
            times,
            size,
            page.size,
            page.vendor_time,
            page.last,
            ids=ids,
            cursor=page.cursor,
            complete_to=page.complete_to,
            ordered=page.ordered,
        )

    def _add(
        self,
        records: Sequence[Record],
        bodies: list[bytes],
        fingerprints: list[Fingerprint],
        times: list[datetime | None],
    ) -> Sequence[Values]:
        values, moved = self._read(records)
        watermarks = event_times = list(map(parse_time, map(self._watermark, values)))
        if self._event_time:
            happened = map(parse_time, map(self._event_time, values))
            event_times = [event or mark for event, mark in zip(happened, watermarks, strict=True)]
        bodies += self._bodies(records, moved, event_times)
        key = _content if self._stream.snapshot else self._key
        fingerprints += map(fingerprint, map(key, records, values), watermarks)
        times += watermarks
        return values

    def _bodies(
        self,
        records: Sequence[Record],
        moved: Sequence[Moved],
        event_times: Sequence[datetime | None],
    ) -> list[bytes]:
        """Encode the records by copying their bytes, decoding only where that does not do."""
        received = utc_now()
        generated = [moment or received for moment in event_times]
        if moved.count(()) == len(moved):
            bodies = self._encode.encode_verbatim(records, generated)
        else:
            bodies = self._encode.encode_moving(records, generated, moved)
        secrets = self._encode.redactor.may_be_in(b"".join(bodies))
        usual = all(event_times) and all(bodies) and not secrets
        if usual and max(map(len, bodies), default=0) <= MAX_RECORD_BYTES:
            return bodies  # without a look at each
        for number, moment in enumerate(event_times):
            if moment is None and not self._stream.snapshot:
                self._warn_once("no time", f"no {self._stream.event_time} that is a time")
            body = bodies[number]
            # Encode an empty record (only one without a time can be): verbatim joining would
            # leave a comma before the closing brace.
            if (
                not body
                or (moment is None and b'"' not in bytes(records[number]))
                or len(body) > MAX_RECORD_BYTES
                or (secrets and self._encode.redactor.may_be_in(body))
            ):
                bodies[number] = self._encode(decoded(records[number]), generated[number])
        return bodies

    def _key(self, record: Record, values: Values) -> bytes:
        """The record's identity: its first key with a value, else its content."""
        for find in self._finders:
            key = find(values)
            if key is not None and key != "":
                return str(key).encode("utf-8", "replace")
        self._warn_once("no id", f"no {' or '.join('+'.join(k) for k in self._stream.keys)}")
        return _content(record)

    def _warn_once(self, kind: str, problem: str) -> None:
        if (self._stream.name, kind) in _warned:
            return
        _warned.add((self._stream.name, kind))
        logger.warning(
            "%s: a record has %s; such records are delivered, timed by their receipt or known by "
            "their content, and this is said once",
            self._stream.name,
            problem,
        )


def _number(value: object) -> int | None:
    """A record's id as a number, which alone says which of two is higher; None for none."""
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() else None


def _no_time(_: Values) -> None:
    """A snapshot's records have no time."""


def _key_finder(read: Reader, paths: Sequence[str]) -> Callable[[Values], Any]:
    """Make a function that joins a record's values at ``paths``; None or '' if one is missing."""
    finders = [read.getter(path) for path in paths]
    if len(finders) == 1:
        return finders[0]

    def joined(values: Values) -> str | None:
        found = [find(values) for find in finders]
        if any(value is None or value == "" for value in found):
            return None
        return "\n".join(map(str, found))

    return joined


def _content(record: Record, _: Values = None) -> bytes:
    """The record's canonical JSON: keys sorted, so that their order makes no difference."""
    return json.dumps(decoded(record), sort_keys=True, ensure_ascii=True).encode()
