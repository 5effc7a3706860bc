"""Deduplicate recent events of a webhook within one process, by their ids.

An id is known only once its event is safe. Until then the request that brought it claims it;
another request with the same id waits for the outcome of the first, and sends nothing.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """The ids of a request: ``mine`` are its own to send, ``others`` another request sends."""

    mine: frozenset[str]
    others: frozenset[str]


class RecentIds:
    """The last ``limit`` ids of safe events, and the claimed ids; thread-safe."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._safe: OrderedDict[str, None] = OrderedDict()
        self._claimed: set[str] = set()
        self._changed = threading.Condition()

    def claim(self, ids: Iterable[str]) -> Claim:
        """Claim the ``ids`` that are neither safe nor claimed; call ``release`` afterwards."""
        with self._changed:
            unknown = {name for name in ids if name not in self._safe}
            others = unknown & self._claimed
            mine = unknown - others
            self._claimed |= mine
        return Claim(frozenset(mine), frozenset(others))

    def release(self, claim: Claim, safe: Iterable[str]) -> None:
        """End ``claim``: remember the ids in ``safe``, and leave its others free to claim again."""
        with self._changed:
            self._claimed -= claim.mine
            for name in safe:
                self._safe[name] = None
            while len(self._safe) > self._limit:
                self._safe.popitem(last=False)
            self._changed.notify_all()

    def wait(self, claim: Claim, deadline: float) -> bool:
        """Wait for the other requests; return whether all of ``claim.others`` are safe.

        ``deadline`` is a reading of ``time.monotonic``.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: not (claim.others & self._claimed),
                timeout=max(0.0, deadline - time.monotonic()),
            )
            return all(name in self._safe for name in claim.others)
