"""Which records were delivered lately: fingerprints of 8 bytes of hash and 4 of time.

A window begins an overlap before the last one's end, so that late events arrive; what the overlap
holds already is known by its fingerprint and not sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from hashlib import blake2b

Fingerprint = int
"""96 bits: the second of the record's time since 1970, and below it a hash of what names it"""

FINGERPRINT_BYTES = 12
# The second of a record that has no time: never too old, kept while the vendor still shows it.
TIMELESS = 0xFFFF_FFFF
_HASH_BITS = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Fewer fingerprints than this are not worth a look at which of them are old.
_FEW = 2_000


def fingerprint(key: bytes, moment: datetime | None) -> Fingerprint:
    """A record's, by what names it and by its time (None: it has none).

    Two of a million records of one second are alike but once in 10⁷ tries.
    """
    digest = blake2b(key, digest_size=_HASH_BITS // 8).digest()
    second = TIMELESS
    if moment is not None:
        since = moment - _EPOCH  # three times as quick as moment.timestamp()
        second = since.days * 86_400 + since.seconds
        if not 0 <= second < TIMELESS:
            second = min(max(second, 0), TIMELESS - 1)
    return second << _HASH_BITS | int.from_bytes(digest, "little")


class FingerprintSet(set[Fingerprint]):
    """What was delivered lately; what is old is dropped where it is many."""

    def __init__(self, fingerprints: Iterable[Fingerprint] = ()) -> None:
        super().__init__(fingerprints)
        self._floor = 0
        self._prune_at = _FEW

    def oldest_first(self) -> list[Fingerprint]:
        """All that a ``prune`` in earnest would leave."""
        return sorted(self.unexpired(self))

    def prune(self, before: float) -> None:
        """Forget what is older than the second in which ``before`` (epoch seconds) lies."""
        self._floor = max(int(before), 0) << _HASH_BITS
        # Each look at all of them halves them at least, or is far from the next.
        if len(self) >= self._prune_at:
            self._keep(self.unexpired(self))
            self._prune_at = max(2 * len(self), _FEW)

    def unexpired(self, fingerprints: Iterable[Fingerprint]) -> list[Fingerprint]:
        """Of ``fingerprints``, those that the last ``prune`` would have kept."""
        return [known for known in fingerprints if known >= self._floor]

    def keep_timeless(self, encountered: set[Fingerprint]) -> None:
        """Of the records without a time, know only those that the vendor still shows."""
        timeless = TIMELESS << _HASH_BITS
        self._keep([known for known in self if known < timeless or known in encountered])

    def _keep(self, kept: list[Fingerprint]) -> None:
        self.clear()
        self.update(kept)


def pack(fingerprints: Iterable[Fingerprint]) -> bytes:
    """12 bytes each, little-endian: the hash, then the second."""
    return b"".join([known.to_bytes(FINGERPRINT_BYTES, "little") for known in fingerprints])


def unpack(packed: bytes) -> Iterator[Fingerprint]:
    """The reverse of ``pack``; raises ``ValueError`` where the length is no multiple of 12."""
    if len(packed) % FINGERPRINT_BYTES:
        raise ValueError("the length is no multiple of a fingerprint's")
    for at in range(0, len(packed), FINGERPRINT_BYTES):
        yield int.from_bytes(packed[at : at + FINGERPRINT_BYTES], "little")
