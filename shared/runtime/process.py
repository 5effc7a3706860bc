"""State that one worker process keeps: made on first use, and reset by one call.

A start pays for nothing it does not need, so clients, credentials and caches are made lazily and
kept for the life of the process. Each registers here how it is forgotten; tests call
``reset_process`` between two cases, and nothing leaks from one into the next.
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
    """Forget everything that is registered, the last registered first."""
    for reset in reversed(_resets):
        reset()


class Singleton(Generic[Result]):
    """A function's result, made once. ``functools.cache`` would let two threads make one each."""

    def __init__(self, make: Callable[[], Result]) -> None:
        functools.update_wrapper(self, make)
        self._cached = functools.cache(make)
        self._lock = threading.Lock()

    def __call__(self) -> Result:
        with self._lock:
            return self._cached()

    def cache_clear(self) -> None:
        """The next call makes it again."""
        with self._lock:
            self._cached.cache_clear()


def process_singleton(make: Callable[[], Result]) -> Singleton[Result]:
    """Decorate a function whose result is made once a process, and forgotten at a reset."""
    single = Singleton(make)
    on_reset(single.cache_clear)
    return single
