"""What a process makes lazily, and once: also when its first two requests come together."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class once(Generic[Result]):  # noqa: N801  (used as a decorator)
    """Makes a function's result once. ``functools.cache`` would let two threads make one each."""

    def __init__(self, make: Callable[[], Result]) -> None:
        functools.update_wrapper(self, make)
        self._cached = functools.cache(make)
        self._lock = threading.Lock()

    def __call__(self) -> Result:
        with self._lock:
            return self._cached()

    def cache_clear(self) -> None:
        """The next call makes it anew."""
        with self._lock:
            self._cached.cache_clear()
