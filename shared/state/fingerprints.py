"""Fingerprints of recently delivered records: 8 bytes of hash and 4 of time.

A window begins an overlap before the last one's end, so that late events arrive; a record that the
overlap delivered before is recognized by its fingerprint, and not sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from hashlib import blake2b

Fingerprint = int
"""96 bits: the record's time in seconds since 1970, then, below it, the hash of its key."""

FINGERPRINT_BYTES = 12
# The second of a record without a time: it never expires by age, only when the vendor drops it.
TIMELESS = 0xFFFF_FFFF
# The second of a mark: the snapshot that is being read has a record of that content.
ENCOUNTERED = 0xFFFF_FFFE
_HASH_BITS = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Do not prune fewer fingerprints than this: a scan costs more than it frees.
_MIN_TO_PRUNE = 2_000


def fingerprint(key: bytes, moment: datetime | None) -> Fingerprint:
    """Return the fingerprint of a record by its key and its time (None: it has none).

    The chance that any two of a million records in one second collide is 1 in 10⁷.
    """
    digest = blake2b(key, digest_size=_HASH_BITS // 8).digest()
    second = TIMELESS
    if moment is not None:
        since = moment - _EPOCH  # three times faster than moment.timestamp()
        second = since.days * 86_400 + since.seconds
        if not 0 <= second < ENCOUNTERED:
            second = min(max(second, 0), ENCOUNTERED - 1)
    return second << _HASH_BITS | int.from_bytes(digest, "little")


def encountered_mark(known: Fingerprint) -> Fingerprint:
    """The mark that an unfinished snapshot has met the timeless record ``known``."""
    return known - (1 << _HASH_BITS)


class FingerprintSet(set[Fingerprint]):
    """Fingerprints of recently delivered records; ``prune`` drops expired ones in bulk."""

    def __init__(self, fingerprints: Iterable[Fingerprint] = ()) -> None:
        super().__init__(fingerprints)
        self._floor = self._highest_floor = 0
        self._prune_at = _MIN_TO_PRUNE

    def oldest_first(self) -> list[Fingerprint]:
        """Return the unexpired ones, sorted by time."""
        return sorted(self.unexpired(self))

    def earlier_than(self, moment: datetime) -> list[Fingerprint]:
        """Return those of records before ``moment`` (whole seconds) or without a time, sorted."""
        second = int(moment.timestamp())
        return [
            known
            for known in self.oldest_first()
            if not second <= known >> _HASH_BITS < ENCOUNTERED
        ]

    def expire(self, before: float) -> None:
        """Let fingerprints older than the second of ``before`` (epoch seconds) expire.

        They are known until ``prune`` drops them, yet stored no more.
        """
        second = max(int(before), 0)
        self._floor = second << _HASH_BITS
        self._highest_floor = max(self._highest_floor, second)

    @property
    def complete_from(self) -> datetime | None:
        """From when on no fingerprint has expired yet; None where none has."""
        if not self._highest_floor:
            return None
        return datetime.fromtimestamp(self._highest_floor, UTC)

    def prune(self, before: float) -> None:
        """Let fingerprints older than the second of ``before`` expire, and drop them."""
        self.expire(before)
        # Scan again only after the set has doubled, so that the cost per record stays constant.
        if len(self) >= self._prune_at:
            self._keep(self.unexpired(self))
            self._prune_at = max(2 * len(self), _MIN_TO_PRUNE)

    def unexpired(self, fingerprints: Iterable[Fingerprint]) -> list[Fingerprint]:
        """Return those of ``fingerprints`` that the last ``prune`` did not let expire."""
        return [known for known in fingerprints if known >= self._floor]

    def take_encountered(self) -> set[Fingerprint]:
        """Remove the marks of an unfinished snapshot; return the records that they name."""
        marks = {k for k in self if ENCOUNTERED <= k >> _HASH_BITS < TIMELESS}
        self.difference_update(marks)
        return {mark + (1 << _HASH_BITS) for mark in marks}

    def keep_timeless(self, encountered: set[Fingerprint]) -> None:
        """Drop fingerprints of records without a time that the vendor no longer returns."""
        timeless = TIMELESS << _HASH_BITS
        self._keep([known for known in self if known < timeless or known in encountered])

    def _keep(self, kept: list[Fingerprint]) -> None:
        self.clear()
        self.update(kept)


def pack(fingerprints: Iterable[Fingerprint]) -> bytes:
    """Pack as 12 bytes each, little-endian: the hash, then the second."""
    return b"".join([known.to_bytes(FINGERPRINT_BYTES, "little") for known in fingerprints])


def unpack(packed: bytes) -> Iterator[Fingerprint]:
    """Reverse ``pack``. Raises ``ValueError`` where the length is no multiple of 12."""
    if len(packed) % FINGERPRINT_BYTES:
        raise ValueError("the length is no multiple of a fingerprint's")
    for at in range(0, len(packed), FINGERPRINT_BYTES):
        yield int.from_bytes(packed[at : at + FINGERPRINT_BYTES], "little")
