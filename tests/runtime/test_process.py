"""A process makes its state once, and drops all of it by one call."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from shared.runtime.process import process_singleton, reset_process


def test_two_first_calls_at_once_get_one_result() -> None:
    """Two instances of the webhook in a process would each know only half of the recent ids."""
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


def test_a_reset_drops_the_result() -> None:
    """The next call makes a new one."""

    @process_singleton
    def make() -> object:
        return object()

    before = make()
    reset_process()
    assert make() is not before
