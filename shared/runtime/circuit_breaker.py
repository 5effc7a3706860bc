"""Whether delivery is worth trying, so that an outage does not tie up every worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_SECONDS = 60.0


class CircuitBreaker:
    """After a failure one attempt a minute finds out how things are; threads share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._next_try: float | None = None

    def allows(self) -> bool:
        """True while all is well, and to one caller a minute while it is not."""
        with self._lock:
            if self._next_try is None:
                return True
            if self._clock() < self._next_try:
                return False
            self._next_try = self._clock() + _SECONDS
            return True

    def report(self, *, well: bool) -> None:
        """How an allowed attempt ended."""
        with self._lock:
            self._next_try = None if well else self._clock() + _SECONDS
