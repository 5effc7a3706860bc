"""The threads that handed-out polls run on: few, and none that a webhook's post waits for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shared.runtime.process import process_singleton

# A poll with a backlog and half a million fingerprints needs 200 MB.
_SMALL_BYTES = 1_000_000_000
_SMALL, _USUAL = 2, 4
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def polls_at_a_time() -> int:
    """Two on an instance of 512 MB, else four, as many as host.json takes messages."""
    return _SMALL if memory_bytes() < _SMALL_BYTES else _USUAL


def memory_bytes() -> int:
    """The memory that this process may use: the machine's, or its container's limit."""
    known = [int(text) for limit in _LIMITS if (text := _read(limit)).isdecimal()]
    try:
        known.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):
        # Windows tells neither: a developer's machine has more than 512 MB.
        known.append(_SMALL_BYTES)
    return min(known)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


@process_singleton
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(polls_at_a_time(), thread_name_prefix="polls")


async def on_poll_pool(work: Callable[[], None]) -> None:
    """Run ``work`` on a thread of the pool, once one is free; raises its errors."""
    await asyncio.get_running_loop().run_in_executor(_pool(), work)
