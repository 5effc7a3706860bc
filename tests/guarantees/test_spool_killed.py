"""DeliveryRetry's process is killed: spooled events arrive, and no message expires."""

from __future__ import annotations

import json
from collections import Counter

import orjson
import pytest

from local.azure.logs_ingestion import AzureMonitor
from shared.azure import storage as clients
from shared.delivery.dead_letter_blobs import listed, read_entries
from shared.delivery.spool import QUEUE, Message, Spool
from tests.guarantees.runs_in_processes import killed_at
from tests.guarantees.spool_in_processes import Worker

STREAM = "Custom-OneLogin"
EVENTS_A_POST = 10
POSTS = 60


def spool_posts(posts: int = POSTS) -> set[str]:
    """Spool posts; return the uuids of their events."""
    for post in range(posts):
        start = post * EVENTS_A_POST
        events = [{"uuid": str(start + number)} for number in range(EVENTS_A_POST)]
        Spool().put(STREAM, list(map(orjson.dumps, events)))
    return {str(number) for number in range(posts * EVENTS_A_POST)}


@pytest.mark.slow
def test_a_message_that_kills_its_worker_ends_as_a_dead_letter(
    settings_env: dict[str, str], azure_monitor: AzureMonitor
) -> None:
    """It dies twelve times of it; the others arrive, and nothing is in the poison queue."""
    Spool().put(STREAM, [b'{"uuid":"deadly"}'])
    expected = spool_posts(8)
    worker = Worker(settings_env)
    worker.run_to_end()
    assert worker.deaths == 12
    assert {record["uuid"] for record in azure_monitor.records(STREAM)} == expected
    (blob,) = listed()
    (entry,) = read_entries(blob)
    assert blob.stream == QUEUE
    assert Message.read(orjson.dumps(entry.record)).stream == STREAM
    assert "ended its function" in json.loads(entry.line)["message"]
    assert Spool().poisoned() == 0


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("upload", [1, 2])
def test_a_kill_while_messages_are_taken_along_loses_nothing(
    settings_env: dict[str, str], azure_monitor: AzureMonitor, upload: int, when: str
) -> None:
    """Killed at an upload, before or after it counts: all arrive, and its events alone repeat."""
    expected = spool_posts()
    worker = Worker(settings_env)
    with killed_at(upload, worker.kill) as fault:
        azure_monitor.faults.add(f"/streams/{STREAM}", fault(when), times=10_000)
        worker.run_to_end()
    arrived = Counter(record["uuid"] for record in azure_monitor.records(STREAM))
    assert worker.deaths == 1
    assert set(arrived) == expected
    assert max(arrived.values()) <= 2
    assert list(clients.queue(QUEUE).peek_messages()) == []
