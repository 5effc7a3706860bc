"""Bound a process's memory: read two large posts at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from shared.webhook.body import LARGE_BYTES, is_large, too_large, unpack


class TooManyLargePosts(Exception):
    """Two large posts are being read: send this one again."""


class LargePosts:
    """Slots for posts that take much memory; thread-safe."""

    def __init__(self, slots: int = 2) -> None:
        self._slots = threading.BoundedSemaphore(slots)

    @contextmanager
    def unpacked(self, body: bytes) -> Iterator[bytes]:
        """Give the body's text, and hold a slot for a large one until the block ends.

        Raises ``TooManyLargePosts``, and ``BodyRefused`` as ``unpack`` does, 413 over its limit.
        """
        text = unpack(body, LARGE_BYTES)
        if text is not None and not is_large(text):
            yield text
            return
        if not self._slots.acquire(blocking=False):
            raise TooManyLargePosts
        try:
            text = unpack(body) if text is None else text
            if text is None:
                raise too_large()
            yield text
        finally:
            self._slots.release()
