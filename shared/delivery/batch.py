"""Batches: pack encoded records by size into the body of one call, and compress it."""

from __future__ import annotations

import gzip
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from isal import igzip

# Azure Monitor takes 1 MB a call, before and after compression. Its error text says 1,048,576
# bytes; use the lower reading of "1 MB".
# https://learn.microsoft.com/azure/azure-monitor/service-limits#logs-ingestion-api
MAX_BATCH_BYTES = 1_000_000

# ISA-L's level 2 is as fast as level 1 (hundreds of MB/s a core) and compresses better; level 3
# takes three times as long for half a percent.
_LEVEL = 2
# A body has two brackets, and a comma fewer than records: count a bracket, and a comma a record.
_OPENED = 1


@dataclass(frozen=True, slots=True)
class Batch:
    """The content of one call: encoded records of one stream, in order."""

    stream: str
    records: Sequence[bytes]

    @property
    def size(self) -> int:
        """Return the bytes of ``body()``: the records, the commas between them, two brackets."""
        return body_size(self.records)

    def body(self) -> bytes:
        """Return the records as a JSON array."""
        return b"[" + b",".join(self.records) + b"]"

    def halves(self) -> tuple[Batch, Batch]:
        """Split by number of records; needs at least two records."""
        middle = len(self.records) // 2
        return (
            Batch(self.stream, self.records[:middle]),
            Batch(self.stream, self.records[middle:]),
        )


class Packer:
    """Fill batches of one stream up to ``limit`` bytes, across pages."""

    def __init__(self, stream: str, limit: int = MAX_BATCH_BYTES) -> None:
        self.stream = stream
        self.limit = limit
        self._records: list[bytes] = []
        self._used = _OPENED

    def __len__(self) -> int:
        """Return the number of records in the open batch."""
        return len(self._records)

    def fill(self, records: Sequence[bytes]) -> int:
        """Add the first of ``records``, as many as the open batch has room for; return how many.

        An empty batch has room for a record larger than the limit: Azure Monitor decides on it.
        """
        # Search the sums, rather than add each record by itself: a page has a thousand.
        sums = list(accumulate(map(len, records), initial=self._used))
        room = bisect_right(range(len(sums)), self.limit, key=lambda n: sums[n] + n) - 1
        if records and not self._records:
            room = max(room, 1)
        room = max(room, 0)
        self._records += records[:room]
        self._used = sums[room] + room
        return room

    def add(self, record: bytes) -> Batch | None:
        """Add ``record``; return the batch that had no room for it, if any."""
        if self.fill([record]):
            return None
        full = self.flush()
        self.fill([record])
        return full

    def flush(self) -> Batch | None:
        """Return the open batch and start an empty one; None if it has no records."""
        if not self._records:
            return None
        batch = Batch(self.stream, self._records)
        self._records = []
        self._used = _OPENED
        return batch


def packed(stream: str, records: Sequence[bytes]) -> list[tuple[int, Batch]]:
    """Pack ``records`` into batches, each with the index of its first record."""
    packer = Packer(stream)
    batches = [full for record in records if (full := packer.add(record))]
    if last := packer.flush():
        batches.append(last)
    starts = accumulate((len(batch.records) for batch in batches), initial=0)
    return list(zip(starts, batches, strict=False))


def body_size(records: Sequence[bytes]) -> int:
    """Return the bytes of the JSON array of ``records``."""
    return 2 + sum(map(len, records)) + max(len(records) - 1, 0)


def compress(body: bytes) -> bytes:
    """Compress ``body`` with gzip."""
    return igzip.compress(body, _LEVEL)


def decompress(body: bytes) -> bytes:
    """Decompress gzip; raises ``OSError``, ``EOFError`` or ``zlib.error`` if it is malformed."""
    content: bytes = gzip.decompress(body)
    return content
