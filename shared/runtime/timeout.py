"""A hard limit on work that has soft ones at best, like name lookups and slow answers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

# More than a worker of the Functions host serves at once; what is late keeps its thread until its
# own time-outs end it.
_THREADS = 64

Result = TypeVar("Result")


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="timeout")


def call_with_timeout(seconds: float, work: Callable[[], Result]) -> Result:
    """The result of ``work()``, or its error; ``TimeoutError`` when it is not done in ``seconds``.

    Work that is late goes on in its thread, and nobody waits for it; work that has not even begun
    by then is never begun.
    """
    future = _threads().submit(work)
    try:
        return future.result(seconds)
    finally:
        future.cancel()
