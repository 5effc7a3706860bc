"""Batches: encoded records packed by bytes into the body of one call, and its compression."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from isal import igzip

# Azure Monitor takes 1 MB a call, counted before and after compression; its error text says
# 1,048,576 bytes. The lower reading of "1 MB" holds under both.
# https://learn.microsoft.com/azure/azure-monitor/service-limits#logs-ingestion-api
MAX_BATCH_BYTES = 1_000_000

# ISA-L's level 2 is as quick as its level 1 (hundreds of MB/s a core) and smaller; 3 takes thrice
# the time for half a percent.
_LEVEL = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """Encoded records of one stream, in order: the content of one call."""

    stream: str
    records: Sequence[bytes]

    @property
    def size(self) -> int:
        """Bytes of ``body()``: the records, the commas between them and two brackets."""
        return body_size(self.records)

    def body(self) -> bytes:
        """The JSON array that goes out."""
        return b"[" + b",".join(self.records) + b"]"

    def halves(self) -> tuple[Batch, Batch]:
        """The first and the second half, by number of records; only of two records and more."""
        middle = len(self.records) // 2
        return (
            Batch(self.stream, self.records[:middle]),
            Batch(self.stream, self.records[middle:]),
        )


class Packer:
    """Fills batches of one stream up to ``limit`` bytes, across pages."""

    def __init__(self, stream: str, limit: int = MAX_BATCH_BYTES) -> None:
        self.stream = stream
        self.limit = limit
        self.size = 2
        self._records: list[bytes] = []

    def __len__(self) -> int:
        """Records waiting for the batch to fill."""
        return len(self._records)

    def add(self, record: bytes) -> Batch | None:
        """Take ``record`` in; return the batch that was full before it, if it was.

        A record larger than the limit gets a batch of its own: Azure Monitor's verdict decides.
        """
        full = None
        grown = self.size + len(record) + bool(self._records)
        if grown > self.limit and self._records:
            full = self.flush()
            grown = self.size + len(record)
        self._records.append(record)
        self.size = grown
        return full

    def flush(self) -> Batch | None:
        """What is left, as a batch; None when there is nothing."""
        if not self._records:
            return None
        batch = Batch(self.stream, self._records)
        self._records = []
        self.size = 2
        return batch


def packed(stream: str, records: Sequence[bytes]) -> list[tuple[int, Batch]]:
    """``records`` in batches, each with the index of its first record."""
    packer = Packer(stream)
    batches = [full for record in records if (full := packer.add(record))]
    if last := packer.flush():
        batches.append(last)
    starts = accumulate((len(batch.records) for batch in batches), initial=0)
    return list(zip(starts, batches, strict=False))


def body_size(records: Sequence[bytes]) -> int:
    """Bytes of the JSON array that holds ``records``."""
    return 2 + sum(map(len, records)) + max(len(records) - 1, 0)


def compress(body: bytes) -> bytes:
    """``body`` in gzip."""
    return igzip.compress(body, _LEVEL)


def decompress(body: bytes) -> bytes:
    """The content of gzip of our own; raises ``OSError``, ``EOFError``, ``zlib.error``."""
    content: bytes = gzip.decompress(body)
    return content
