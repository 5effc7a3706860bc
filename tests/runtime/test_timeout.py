"""A call ends by its timeout, whatever it waits for."""

from __future__ import annotations

import threading

import pytest

from shared.runtime.process import reset_process
from shared.runtime.timeout import call_with_timeout


def test_a_late_call_raises_a_timeout_and_continues() -> None:
    """The caller goes on at once; the call ends later in its own thread."""
    release, ended = threading.Event(), threading.Event()

    def late() -> None:
        release.wait(30)
        ended.set()

    with pytest.raises(TimeoutError):
        call_with_timeout(0.01, late)
    assert not ended.is_set()
    release.set()
    assert ended.wait(30)


def test_an_error_of_the_call_reaches_the_caller() -> None:
    """The error keeps its class."""
    with pytest.raises(ZeroDivisionError):
        call_with_timeout(30, lambda: 1 // 0)


def test_a_reset_leaves_late_calls_and_allows_new_ones() -> None:
    """The next case gets a pool without the late calls of the last one."""
    release, ended = threading.Event(), threading.Event()

    def late() -> None:
        release.wait(30)
        ended.set()

    before = call_with_timeout(30, threading.current_thread)
    with pytest.raises(TimeoutError):
        call_with_timeout(0.01, late)
    reset_process()
    assert call_with_timeout(30, threading.current_thread) is not before
    release.set()
    assert ended.wait(30)
