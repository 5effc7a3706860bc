"""Several instances poll several connections: killed and frozen, they lose nothing."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from azure.core.exceptions import ResourceNotFoundError

from local.azure.logs_ingestion import AzureMonitor
from local.vendors.sentinelone import SentinelOne
from shared.azure import storage
from shared.connectors.sentinelone import CONNECTOR
from shared.polling.handing_out import QUEUE, tick
from shared.records.codec import dump_json
from shared.state.lease import read_leases
from tests.connections.consoles import ACTIVITIES, Consoles, arrived, running
from tests.guarantees.polls_in_processes import SHORT, Instance
from tests.guarantees.test_kills import MOST_REPEATED, backlog

KILLS = 36
NAMES = [f"c{number}" for number in range(6)]
RECORDS = 2_000


@pytest.fixture
def consoles(settings_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Consoles]:
    monkeypatch.setenv("SentinelOneStreams", "activities")
    yield from running(monkeypatch)


def repeated_bytes(monitor: AzureMonitor) -> Counter[str]:
    """The bytes that arrived once more, by connection."""
    times = arrived(monitor)
    found: Counter[str] = Counter()
    for record in monitor.records(ACTIVITIES):
        name = str(record.get("AdditionalFields", {}).get("Connection", ""))
        count = times[name, str(record["id"])]
        if count > 1:
            found[name] += len(dump_json(record)) * (count - 1) // count
    return found


@pytest.mark.slow
def test_instances_killed_at_random_lose_nothing(
    consoles: Consoles, sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """Three dozen SIGKILLs, also between the queue and the lease, and a freeze of 20 s.

    Repeats are of connections that were being polled then, each at most what a kill may repeat.
    """
    records = backlog(RECORDS)
    for name in NAMES:
        consoles.add(name).add("activities", records)
    rng, pause = random.Random(20_261_128), threading.Event()
    polled: Counter[str] = Counter()
    instances = [Instance(), Instance()]
    for number in range(KILLS):
        tick(CONNECTOR)
        pause.wait(rng.uniform(0.2, 1.5))
        victim = rng.choice(instances)
        polled.update(name.partition("__")[2] for name in read_leases().held)
        if number == KILLS // 2:
            victim.freeze()
            pause.wait(SHORT.length + 5)
            victim.thaw()
            continue
        victim.kill()
        victim.start(dies_before_lease=number % 3 == 0)
    for instance in instances:  # some of them may still die before their next lease
        instance.kill()
        instance.start()
    expected = {(name, record["id"]) for name in NAMES for record in records}
    for _ in range(90):
        if arrived(azure_monitor).keys() >= expected:
            break
        tick(CONNECTOR)
        pause.wait(2)
    for instance in instances:
        instance.kill()
    assert arrived(azure_monitor).keys() == expected
    repeats = repeated_bytes(azure_monitor)
    for name, size in repeats.items():
        assert 0 < size <= MOST_REPEATED * polled[name], name
    with pytest.raises(ResourceNotFoundError):
        storage.queue(f"{QUEUE}-poison").get_queue_properties()


@pytest.mark.slow
def test_two_instances_share_the_connections_and_send_nothing_twice(
    consoles: Consoles, sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """Ticks pile up over a quarter of an hour, messages are many, each record arrives once."""
    records = backlog(300)
    for name in NAMES:
        consoles.add(name).add("activities", records)
    for _ in range(3):
        tick(CONNECTOR)
    assert storage.queue(QUEUE).get_queue_properties().approximate_message_count == 21
    instances = [Instance(), Instance()]
    pause = threading.Event()
    for _ in range(300):
        if not storage.queue(QUEUE).get_queue_properties().approximate_message_count:
            break
        pause.wait(0.2)
    for instance in instances:
        instance.kill()
    assert arrived(azure_monitor) == {
        (name, record["id"]): 1 for name in NAMES for record in records
    }
