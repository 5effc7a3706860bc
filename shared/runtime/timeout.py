"""A hard timeout for calls that have none, such as a name lookup, or only one for each read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from shared.runtime.process import process_singleton

# More than a worker of the Functions host serves at once: a late call keeps its thread until its
# own timeouts end it.
_THREADS = 64

Result = TypeVar("Result")


# After a reset the old pool ends by itself: its idle threads exit once nothing refers to it.
@process_singleton
def _thread_pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="timeout")


def call_with_timeout(timeout: float, func: Callable[[], Result]) -> Result:
    """Return ``func()`` or raise its error; raise ``TimeoutError`` after ``timeout`` seconds.

    A late call continues in its thread and its result is discarded; a call that has not started by
    then never starts.
    """
    future = _thread_pool().submit(func)
    try:
        return future.result(timeout)
    finally:
        future.cancel()


def call_together(
    timeout: float, funcs: Sequence[Callable[[], Result]], late: Result
) -> list[Result]:
    """Run calls side by side; return their results in order, ``late`` for one over the timeout.

    The timeout, in seconds, is for all of them together. Raises the first error of a call; late
    calls end as those of ``call_with_timeout`` do.
    """
    futures = [_thread_pool().submit(func) for func in funcs]
    done, _ = wait(futures, timeout)
    for future in futures:
        future.cancel()
    return [future.result() if future in done else late for future in futures]
