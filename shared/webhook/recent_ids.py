"""Which events a process has taken lately, so that a repeat is not sent twice.

An event counts as taken only once it is safe. Until then it is claimed by the request that carries
it; another request with the same event waits for that outcome, and never calls it safe by itself.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """One request's share of its ids: ``mine`` to send, ``others`` on their way elsewhere."""

    mine: frozenset[str]
    others: frozenset[str]


class RecentIds:
    """The last ``limit`` ids that are safe, and those on their way; threads share it."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._safe: OrderedDict[str, None] = OrderedDict()
        self._claimed: set[str] = set()
        self._changed = threading.Condition()

    def claim(self, ids: Iterable[str]) -> Claim:
        """Take those ``ids`` that are neither safe nor claimed; ``release`` must follow."""
        with self._changed:
            unknown = {name for name in ids if name not in self._safe}
            others = unknown & self._claimed
            mine = unknown - others
            self._claimed |= mine
        return Claim(frozenset(mine), frozenset(others))

    def release(self, claim: Claim, safe: Iterable[str]) -> None:
        """End ``claim``: of its own ids, ``safe`` are, and the others are anybody's again."""
        with self._changed:
            self._claimed -= claim.mine
            for name in safe:
                self._safe[name] = None
            while len(self._safe) > self._limit:
                self._safe.popitem(last=False)
            self._changed.notify_all()

    def wait(self, claim: Claim, deadline: float) -> bool:
        """Whether the other requests brought all of ``claim.others`` into safety in time.

        ``deadline`` is a reading of ``time.monotonic``.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: not (claim.others & self._claimed),
                timeout=max(0.0, deadline - time.monotonic()),
            )
            return all(name in self._safe for name in claim.others)
