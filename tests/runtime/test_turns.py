"""Polls take turns at computing, and rest a moment while posts are answered."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.vendors.sentinelone import SentinelOne
from shared.runtime.turns import TURNS, Turns
from shared.webhook import events as events_module
from shared.webhook import receiver
from tests.polling.timers import activities, arrived, poll_sentinelone
from tests.webhook.posts import TOKEN, events, post


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that polls of this process rest, in turn."""
    found: list[float] = []
    monkeypatch.setattr(TURNS, "_sleep", found.append)
    return found


def test_one_thread_at_a_time_has_the_turn() -> None:
    """Another thread enters when the first one leaves, and not before."""
    turns, entered = Turns(), threading.Event()

    def enter() -> None:
        with turns.take():
            entered.set()

    other = threading.Thread(target=enter)
    with turns.take():
        other.start()
        assert not entered.wait(0.1)
    other.join()
    assert entered.is_set()


def test_the_turn_passes_on_from_one_that_fails() -> None:
    """An answer that cannot be read keeps no other poll from reading its own."""
    turns = Turns()
    with pytest.raises(ValueError, match="broken"), turns.take():
        raise ValueError("broken")
    with turns.take():
        pass


def test_polls_rest_while_posts_are_answered_and_no_longer() -> None:
    """Also where one of two posts fails, and the other goes on."""
    rests: list[float] = []
    turns = Turns(rests.append)

    def rested() -> int:
        rests.clear()
        turns.begin_stream()
        with turns.take():
            return len(rests)

    assert rested() == 0
    first, second = turns.answering(), turns.answering()
    with first:
        with contextlib.suppress(ValueError), second:
            assert rested() == 2
            raise ValueError("fails")
        assert rested() == 2
    assert rested() == 0


def test_the_webhook_has_polls_rest_until_it_has_answered(
    azure_monitor: AzureMonitor,
    storage: str,
    rests: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From a post's first byte to its answer, whether it is taken or fails."""
    monkeypatch.setenv("OneLoginBearerToken", TOKEN)
    read = events_module.read_events

    def read_beside_a_poll(*arguments: Any) -> Any:
        with TURNS.take():
            return read(*arguments)

    def fail(*_: Any) -> Any:
        TURNS.begin_stream()
        raise KeyError

    monkeypatch.setattr(receiver, "read_events", read_beside_a_poll)
    assert post(events(3)).status_code == 200
    assert len(rests) == 1
    monkeypatch.setattr(receiver, "read_events", fail)
    assert post(events(3)).status_code == 503
    assert len(rests) == 2
    with TURNS.take():
        assert len(rests) == 2


def test_a_poll_rests_before_each_stream_and_within_its_pages(
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    storage: str,
    rests: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing else changes: what it finds arrives as ever."""
    monkeypatch.setenv("SentinelOneStreams", "activities,groups")
    sentinelone.add("activities", activities(range(3), minutes=30))
    with TURNS.answering():
        poll_sentinelone()
    assert len(arrived(azure_monitor)) == 3
    # Two streams, their two answers, and the three records.
    assert sorted(rests) == [0.001, 0.001, 0.001, 0.05, 0.05]
    poll_sentinelone()
    assert len(rests) == 5
