"""Which records were delivered lately: fingerprints of 8 bytes of hash and 4 of time.

A window begins an overlap before the last one's end, so that late events arrive; what the overlap
holds already is known by its fingerprint and not sent again.
"""

from __future__ import annotations

import hashlib
import heapq
import struct
from collections.abc import Iterable, Iterator

Fingerprint = tuple[int, bytes]
"""(second of the record's time since 1970, 8 bytes of hash)"""

FINGERPRINT_BYTES = 12
# The second of a record that has no time: never too old, kept while the vendor still shows it.
TIMELESS = 0xFFFF_FFFF
_LAYOUT = struct.Struct("<8sI")


def fingerprint(key: bytes) -> bytes:
    """Eight bytes that name a record; two of a million records differ but once in 10⁷ tries."""
    return hashlib.blake2b(key, digest_size=8).digest()


class Seen:
    """A set of fingerprints, grouped by second so that old ones are dropped cheaply."""

    def __init__(self, fingerprints: Iterable[Fingerprint] = ()) -> None:
        self._by_second: dict[int, set[bytes]] = {}
        # The seconds as a heap, so that pruning looks at none that stays.
        self._seconds: list[int] = []
        self._count = 0
        for known in fingerprints:
            self.add(known)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, known: Fingerprint) -> bool:
        return known[1] in self._by_second.get(known[0], ())

    def __iter__(self) -> Iterator[Fingerprint]:
        """Oldest first."""
        for second in sorted(self._by_second):
            for digest in self._by_second[second]:
                yield second, digest

    def add(self, known: Fingerprint) -> bool:
        """Whether it is new."""
        second, digest = known
        group = self._by_second.get(second)
        if group is None:
            self._by_second[second] = {digest}
            heapq.heappush(self._seconds, second)
        elif digest in group:
            return False
        else:
            group.add(digest)
        self._count += 1
        return True

    def prune(self, before: float) -> None:
        """Forget what is older than the second in which ``before`` (epoch seconds) lies."""
        floor = int(before)
        while self._seconds and self._seconds[0] < floor:
            self._count -= len(self._by_second.pop(heapq.heappop(self._seconds), ()))

    def older_than(self, before: float) -> int:
        """How many ``prune`` would forget."""
        floor = int(before)
        return sum(len(group) for second, group in self._by_second.items() if second < floor)

    def keep_timeless(self, encountered: set[bytes]) -> None:
        """Of the records without a time, know only those that the vendor still shows."""
        if (group := self._by_second.pop(TIMELESS, None)) is not None:
            self._count -= len(group)
            if kept := group & encountered:
                self._by_second[TIMELESS] = kept
                self._count += len(kept)


def pack(fingerprints: Iterable[Fingerprint]) -> bytes:
    """12 bytes each, little-endian."""
    return b"".join(_LAYOUT.pack(digest, second) for second, digest in fingerprints)


def unpack(packed: bytes) -> Iterator[Fingerprint]:
    """The reverse of ``pack``; raises ``struct.error`` where the length is no multiple of 12."""
    for digest, second in _LAYOUT.iter_unpack(packed):
        yield second, digest
