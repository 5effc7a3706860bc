"""Which records were delivered lately: fingerprints of 8 bytes of hash and 4 of time.

A window begins an overlap before the last one's end, so that late events arrive; what the overlap
holds already is known by its fingerprint and not sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b

Fingerprint = int
"""96 bits: the second of the record's time since 1970, and below it a hash of what names it"""

FINGERPRINT_BYTES = 12
# The second of a record that has no time: never too old, kept while the vendor still shows it.
TIMELESS = 0xFFFF_FFFF
_HASH_BITS = 64
# Fewer fingerprints than this are not worth a look at which of them are old.
_FEW = 2_000


def fingerprint(second: int, key: bytes) -> Fingerprint:
    """A record's; two of a million records of one second are alike but once in 10⁷ tries."""
    digest = blake2b(key, digest_size=_HASH_BITS // 8).digest()
    return second << _HASH_BITS | int.from_bytes(digest, "little")


class Seen:
    """A set of fingerprints; what is old is dropped where it is many."""

    def __init__(self, fingerprints: Iterable[Fingerprint] = ()) -> None:
        self._known = set(fingerprints)
        self._floor = 0
        self._prune_at = _FEW

    def __contains__(self, known: Fingerprint) -> bool:
        return known in self._known

    def __iter__(self) -> Iterator[Fingerprint]:
        """Oldest first."""
        return iter(sorted(self.lately(self._known)))

    def add(self, known: Fingerprint) -> None:
        """From now on it is known."""
        self._known.add(known)

    def prune(self, before: float) -> None:
        """Forget what is older than the second in which ``before`` (epoch seconds) lies."""
        self._floor = max(int(before), 0) << _HASH_BITS
        # Each look at all of them halves them at least, or is far from the next.
        if len(self._known) >= self._prune_at:
            self._known = set(self.lately(self._known))
            self._prune_at = max(2 * len(self._known), _FEW)

    def lately(self, fingerprints: Iterable[Fingerprint]) -> list[Fingerprint]:
        """Of ``fingerprints``, those that the last ``prune`` would have kept."""
        return [known for known in fingerprints if known >= self._floor]

    def keep_timeless(self, encountered: set[Fingerprint]) -> None:
        """Of the records without a time, know only those that the vendor still shows."""
        timeless = TIMELESS << _HASH_BITS
        self._known = {known for known in self._known if known < timeless or known in encountered}


def pack(fingerprints: Iterable[Fingerprint]) -> bytes:
    """12 bytes each, little-endian: the hash, then the second."""
    return b"".join([known.to_bytes(FINGERPRINT_BYTES, "little") for known in fingerprints])


def unpack(packed: bytes) -> Iterator[Fingerprint]:
    """The reverse of ``pack``; raises ``ValueError`` where the length is no multiple of 12."""
    if len(packed) % FINGERPRINT_BYTES:
        raise ValueError("the length is no multiple of a fingerprint's")
    for at in range(0, len(packed), FINGERPRINT_BYTES):
        yield int.from_bytes(packed[at : at + FINGERPRINT_BYTES], "little")
