"""Process-wide state: made on first use, kept for the life of the process, reset by one call.

A cold start pays only for what it needs, so make clients, credentials and caches lazily. Register
here whatever depends on settings or on what was seen; tests call ``reset_process`` between two
cases. A ``functools.cache`` over files of this package, or keyed by all its inputs, needs no reset.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

Asked = ParamSpec("Asked")
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


class Singleton(Generic[Asked, Result]):
    """Call ``make`` once for each set of arguments and keep its results.

    Two threads that make a first call at once get one result: ``functools.cache`` alone would call
    ``make`` in both. Arguments are hashable, and given alike (by place, or by name) everywhere.
    """

    def __init__(self, make: Callable[Asked, Result]) -> None:
        functools.update_wrapper(self, make)
        self._make = make
        self._made: dict[object, Result] = {}
        self._lock = threading.Lock()

    def __call__(self, *args: Asked.args, **kwargs: Asked.kwargs) -> Result:
        key = (args, frozenset(kwargs.items()))
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make(*args, **kwargs)
            return self._made[key]

    def cache_clear(self) -> None:
        """Drop the results; the next call makes a new one."""
        with self._lock:
            self._made.clear()


def process_singleton(make: Callable[Asked, Result]) -> Singleton[Asked, Result]:
    """Decorate a function whose result is made once a process and dropped at a reset."""
    single = Singleton(make)
    on_reset(single.cache_clear)
    return single
