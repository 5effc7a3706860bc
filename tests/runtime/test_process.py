"""A process makes its state once, and drops all of it by one call."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.runtime.process import process_singleton, reset_process


def test_two_first_calls_at_once_get_one_result() -> None:
    """Two instances of the webhook in a process would each know only half of the recent ids."""
    both_inside = threading.Barrier(2)
    made: list[str] = []

    @process_singleton
    def make(name: str) -> object:
        made.append(name)
        with contextlib.suppress(threading.BrokenBarrierError):
            both_inside.wait(timeout=0.2)  # passes only where two calls are in here together
        return object()

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(make, ["webhook", "webhook"])
    assert first is second
    assert made == ["webhook"]


def test_each_set_of_arguments_has_a_result_of_its_own() -> None:
    """As the health of each connection's webhook; an error is not kept."""
    fails = [True]

    @process_singleton
    def make(name: str, number: int) -> list[object]:
        if fails.pop():
            raise ValueError(name)
        fails.append(False)
        return [name, number]

    with pytest.raises(ValueError, match="a"):
        make("a", 1)
    fails.append(False)
    assert (make("a", 1), make("a", 2)) == (["a", 1], ["a", 2])
    assert make("a", 1) is make("a", 1)


def test_a_reset_drops_the_result() -> None:
    """The next call makes a new one."""

    @process_singleton
    def make() -> object:
        return object()

    before = make()
    reset_process()
    assert make() is not before
