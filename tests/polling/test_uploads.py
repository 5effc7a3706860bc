"""A backlog's uploads: how many at a time, and what they wait for."""

from __future__ import annotations

import threading

import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.vendors.sentinelone import SentinelOne
from shared.delivery.batch import Batch
from shared.delivery.batch_sender import BatchSender, DeliveryCounters
from shared.polling.pipeline import IN_FLIGHT
from tests.polling.timers import ACTIVITIES, activities, arrived, poll_sentinelone

_SECONDS = 10.0


def test_an_upload_that_is_done_makes_room_though_the_next_oldest_is_not(
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    storage: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second batch takes until the fifth has begun, which waits for the first alone."""
    monkeypatch.setenv("SentinelOneStreams", "activities")
    backlog = activities(range(220), minutes=30)
    for record in backlog:
        record["secondaryDescription"] = "x" * 30_000
    sentinelone.add("activities", backlog)
    deliver, counting, begun = BatchSender.deliver, threading.Lock(), [0]
    beyond, came = threading.Event(), []

    def slow_second(self: BatchSender, batch: Batch, deadline: float) -> DeliveryCounters:
        if batch.stream == ACTIVITIES:
            with counting:
                begun[0] += 1
                number = begun[0]
            if number > IN_FLIGHT:
                beyond.set()
            if number == 2:
                came.append(beyond.wait(_SECONDS))
        return deliver(self, batch, deadline)

    monkeypatch.setattr(BatchSender, "deliver", slow_second)
    poll_sentinelone()
    assert came == [True]
    assert set(arrived(azure_monitor).values()) == {1}
    assert len(arrived(azure_monitor)) == len(backlog)
