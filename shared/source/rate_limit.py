"""The requests a second that all clients of one host in a process share."""

from __future__ import annotations

import threading
import time

from shared.runtime.process import on_reset


class Slots:
    """The slots of one host's rate limit, for all clients of a process; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0

    def take(self, interval: float) -> float:
        """Take the next slot, ``interval`` seconds before the one after; return the wait for it."""
        with self._lock:
            now = time.monotonic()
            slot = max(self._next, now)
            self._next = slot + interval
            return slot - now


_slots: dict[str, Slots] = {}
on_reset(_slots.clear)


def slots_of(host: str) -> Slots:
    """Return the slots of ``host``, made on first use."""
    return _slots.setdefault(host, Slots())
