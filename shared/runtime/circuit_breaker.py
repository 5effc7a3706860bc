"""A circuit breaker: skip calls to a service that fails, so that an outage ties up no worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_RETRY_SECONDS = 60.0


class CircuitBreaker:
    """Open after a failure, then allow one attempt at a time until one succeeds; thread-safe.

    Attempts are a minute apart, or as long as the last failure asked for.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._next_try: float | None = None  # None: closed

    def allows(self) -> bool:
        """Return True while closed, and to one caller a minute while open."""
        with self._lock:
            if self._next_try is None:
                return True
            if self._clock() < self._next_try:
                return False
            self._next_try = self._clock() + _RETRY_SECONDS
            return True

    def report(self, *, well: bool, pause: float = _RETRY_SECONDS) -> None:
        """Record how an allowed attempt ended: close on success, open on failure.

        ``pause`` is the time until the next attempt, in seconds.
        """
        with self._lock:
            self._next_try = None if well else self._clock() + pause
