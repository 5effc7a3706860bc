"""The garbage collector's thresholds in a process that polls."""

from __future__ import annotations

import functools
import gc


@functools.cache
def raise_gc_thresholds() -> None:
    """Make the garbage collector search for cycles less often, once per process.

    A page is thousands of objects without a cycle, freed when it is prepared. With Python's default
    thresholds the collector traverses all live objects every few pages.
    """
    gc.set_threshold(50_000, 20, 20)
