"""The made-up company that the records are about: its people, and ids that never collide."""

from __future__ import annotations

import functools
import hashlib

USERS = ["amira.haddad", "ben.okafor", "carla.rossi", "dmitri.volkov", "erin.walsh", "fatima.noor"]


@functools.lru_cache(maxsize=4096)
def number(kind: str, n: int) -> str:
    """An id of 19 digits, different for every kind and number."""
    digest = hashlib.blake2b(f"{kind}{n}".encode(), digest_size=8).digest()
    return str(10**18 + int.from_bytes(digest, "big") % (8 * 10**18))


@functools.lru_cache(maxsize=4096)
def guid(kind: str, n: int) -> str:
    """A GUID, different for every kind and number."""
    text = hashlib.blake2b(f"{kind}{n}".encode(), digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
