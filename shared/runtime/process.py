"""Process-wide state: made on first use, kept for the life of the process, reset by one call.

A cold start pays only for what it needs, so make clients, credentials and caches lazily. Register
here whatever depends on settings or on what was seen; tests call ``reset_process`` between two
cases. A ``functools.cache`` over files of this package, or keyed by all its inputs, needs no reset.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")
Reset = TypeVar("Reset", bound=Callable[[], object])

_resets: list[Callable[[], object]] = []


def on_reset(reset: Reset) -> Reset:
    """Register ``reset`` to run at ``reset_process``; usable as a decorator."""
    _resets.append(reset)
    return reset


def reset_process() -> None:
    """Run every registered reset, the last registered first."""
    for reset in reversed(_resets):
        reset()


class Singleton(Generic[Result]):
    """Call ``make`` once and keep its result, also if two threads make the first call at once.

    ``functools.cache`` alone would call it in both.
    """

    def __init__(self, make: Callable[[], Result]) -> None:
        functools.update_wrapper(self, make)
        self._cached = functools.cache(make)
        self._lock = threading.Lock()

    def __call__(self) -> Result:
        with self._lock:
            return self._cached()

    def cache_clear(self) -> None:
        """Drop the result; the next call makes a new one."""
        with self._lock:
            self._cached.cache_clear()


def process_singleton(make: Callable[[], Result]) -> Singleton[Result]:
    """Decorate a function whose result is made once a process and dropped at a reset."""
    single = Singleton(make)
    on_reset(single.cache_clear)
    return single
