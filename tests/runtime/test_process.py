"""A process makes its state once, and forgets it by one call."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from shared.runtime.process import process_singleton


def test_two_first_calls_at_once_get_one_result() -> None:
    """Two webhooks of one process would each remember only half of what was sent."""
    together = threading.Barrier(4)

    @process_singleton
    def make() -> object:
        return object()

    def first_call() -> object:
        together.wait()
        return make()

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: first_call(), range(4)))
    assert len(set(map(id, made))) == 1


def test_after_a_clear_it_is_made_anew() -> None:
    """A test is a process of its own."""

    @process_singleton
    def make() -> object:
        return object()

    before = make()
    make.cache_clear()
    assert make() is not before
