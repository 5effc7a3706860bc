"""Many connections on one instance: none starves, and none waits for a dead one."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.host.host import Host
from local.loopback.faults import FOREVER, answer, delay, reset, silence
from shared.azure import storage
from shared.connectors.sentinelone import CONNECTOR
from shared.polling import handed_out, pool, shares
from shared.polling.handing_out import QUEUE, hand_out, tick
from shared.records.timestamps import isoformat, utc_now
from shared.source import client
from shared.state.lease import read_leases
from tests.connections.consoles import ACTIVITIES, HEALTH, Consoles, arrived


def backlog(count: int) -> list[dict[str, Any]]:
    """A day's records."""
    now = utc_now()
    step = timedelta(hours=20) / count
    return [{"id": str(n), "createdAt": isoformat(now - step * (count - n))} for n in range(count)]


@pytest.mark.slow
def test_of_24_backlogs_on_one_instance_none_starves(
    consoles: Consoles, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four at a time, each longer than its budget: a round later all have got on alike."""
    monkeypatch.setattr(handed_out, "INTERVAL_SECONDS", 4.0)
    monkeypatch.setattr(handed_out, "_LEAST_SECONDS", 2.0)
    # A page takes a quarter of the scaled run: leave time to deliver what was in flight.
    monkeypatch.setattr(shares, "DELIVERY_SHARE", 3.0)
    monkeypatch.setenv("SentinelOneRequestsPerSecond", "1")
    records = backlog(12_000)
    names = [f"c{number:02d}" for number in range(24)]
    for name in names:
        consoles.add(name).add("activities", records)
    host = Host()
    tick(CONNECTOR)
    tick(CONNECTOR)  # the next tick comes while the queue is still long
    while host.poll("ConnectionPoll"):
        continue
    counts = Counter(
        record["AdditionalFields"]["Connection"] for record in azure_monitor.records(ACTIVITIES)
    )
    assert counts.keys() == set(names)
    assert max(counts.values()) < 12_000, "the backlog was too short to tell"
    assert min(counts.values()) >= max(counts.values()) / 3


def test_nobody_waits_for_a_dead_console(
    consoles: Consoles, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 20, one refuses connections, one never answers, one throttles, one is slow.

    With as many instances as Azure gives for 20 messages, the other 16 are done first.
    """
    monkeypatch.setattr(client, "SILENCE_SECONDS", 4.0)
    monkeypatch.setattr(pool, "polls_at_a_time", lambda: 21)
    bad = {"refuses": reset(), "silent": silence(), "slow": delay(3.5)}
    for name, fault in bad.items():
        consoles.add(name, activities=range(1)).faults.add("/", fault, times=FOREVER)
    throttles = consoles.add("throttles", activities=range(1))
    throttles.faults.add("/", answer(429, headers={"Retry-After": "3"}), times=1)
    for number in range(16):
        consoles.add(f"c{number}", activities=range(3))
    tick(CONNECTOR)
    host = Host()
    host.queues["ConnectionPoll"].options = _as_many_as(host, 21)
    assert host.poll("ConnectionPoll") == 21
    rows = [row.get("Connection", "") for row in azure_monitor.records(HEALTH)]
    last = sorted(set(rows), key=rows.index)[-4:]
    assert set(last) == {"refuses", "silent", "throttles", "slow"}
    statuses = {row.get("Connection", ""): row["Status"] for row in azure_monitor.records(HEALTH)}
    assert {name for name, status in statuses.items() if status == "failing"} == {
        "refuses",
        "silent",
    }


@pytest.mark.slow
def test_ten_hung_consoles_among_a_hundred_starve_no_other(
    consoles: Consoles, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one instance that takes four at a time: each holds up its batch for the silence alone.

    The other 90 have their records within the tick; from its third one on it leaves the hung out.
    """
    monkeypatch.setattr(client, "SILENCE_SECONDS", 0.3)
    hung = [f"hung{number}" for number in range(10)]
    for name in hung:
        consoles.add(name).faults.add("/", silence(), times=FOREVER)
    well = [f"c{number:02d}" for number in range(89)]
    for name in well:
        consoles.add(name, activities=range(1))
    host = Host()
    tick(CONNECTOR)
    batches = 0
    while host.poll("ConnectionPoll"):
        batches += 1
    assert batches == 25
    assert arrived(azure_monitor) == {(name, "0"): 1 for name in well}
    hand_out(CONNECTOR, hung)
    while host.poll("ConnectionPoll"):
        continue
    assert {read_leases().polls[f"SentinelOne__{name}"].silent for name in hung} == {2}
    tick(CONNECTOR)
    found = storage.queue(QUEUE).receive_messages(messages_per_page=32)
    handed = [json.loads(message.content)["connection"] for message in found]
    assert sorted(handed) == sorted(["", *well])


def _as_many_as(host: Host, count: int) -> Any:
    from dataclasses import replace

    return replace(host.queues["ConnectionPoll"].options, batch_size=count)
