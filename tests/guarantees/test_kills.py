"""A process killed at any instant loses nothing, and repeats uncommitted records at most."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError

from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import Faults
from local.vendors.onelogin_api import OneLoginApi
from local.vendors.sentinelone import SentinelOne
from shared.azure import storage
from shared.delivery.batch import MAX_BATCH_BYTES
from shared.polling.pipeline import IN_FLIGHT
from shared.records.codec import dump_json
from shared.records.timestamps import isoformat, utc_now
from shared.state.checkpoint import TABLE
from tests.guarantees.runs_in_processes import (
    begin,
    killed_at,
    let_leases_lapse,
    processes,
    run_to_end,
)

STREAM = "Custom-SentinelOneActivities"
# DeliveryCounters or in flight, and not committed: four batches.
MOST_REPEATED = 4_000_000


def backlog(count: int) -> list[dict[str, Any]]:
    """Records of about a kilobyte, a day's worth, several at each moment."""
    begun = utc_now() - timedelta(hours=23)
    step = timedelta(hours=22, minutes=59) / count
    rng = random.Random(7)
    return [
        {
            "id": str(number),
            "createdAt": isoformat(begun + step * (number - number % 4)),
            "data": {"text": rng.randbytes(430).hex()},
        }
        for number in range(count)
    ]


def run_killed_at(
    number: int,
    when: str,
    *,
    faults: Faults,
    path: str,
    settings: dict[str, str],
    context: Any,
    connector: str = "sentinelone",
) -> bool:
    """Begins a run and kills it at its ``number``-th request; False where it ended before."""
    process = begin(context, settings, connector=connector)
    with killed_at(number, process.kill) as fault:
        faults.add(path, fault(when))
        process.join(60)
    faults.clear()
    let_leases_lapse()
    return process.exitcode != 0


def repeated_bytes(monitor: AzureMonitor, stream: str = STREAM) -> int:
    records = monitor.records(stream)
    times = Counter(record["id"] for record in records)
    sizes = {record["id"]: len(dump_json(record)) for record in records}
    return sum(sizes[name] * (count - 1) for name, count in times.items())


@pytest.fixture
def settings(settings_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("SentinelOneStreams", "activities")
    return settings_env


def test_what_a_kill_may_repeat_is_what_may_be_in_flight() -> None:
    """Delivered or in flight, and not committed: so many batches of such a size at most."""
    assert IN_FLIGHT * MAX_BATCH_BYTES == MOST_REPEATED


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(
    settings: dict[str, str], sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """Three dozen SIGKILLs while a backlog is worked off: every record is there in the end."""
    records = backlog(14_000)
    sentinelone.add("activities", records)
    context, rng, kills = processes(), random.Random(20_261_121), 0
    for _ in range(36):
        at_vendor = rng.random() < 0.5
        faults = sentinelone.faults if at_vendor else azure_monitor.faults
        path = "/activities" if at_vendor else f"/streams/{STREAM}"
        when = rng.choice(("before", "after"))
        before = repeated_bytes(azure_monitor)
        if not run_killed_at(
            rng.randint(1, 5), when, faults=faults, path=path, settings=settings, context=context
        ):
            break
        kills += 1
        assert repeated_bytes(azure_monitor) - before <= MOST_REPEATED
    assert run_to_end(context, settings) == 0
    assert {record["id"] for record in azure_monitor.records(STREAM)} == {
        record["id"] for record in records
    }
    assert kills >= 12
    arrived = len(azure_monitor.records(STREAM))
    assert run_to_end(context, settings) == 0
    assert len(azure_monitor.records(STREAM)) == arrived


@dataclass(frozen=True, slots=True)
class Polled:
    """A connector over its local vendor, full of events; what it is asked for, and its stream."""

    connector: str
    faults: Faults
    path: str
    stream: str
    ids: frozenset[str]


@pytest.fixture(params=["sentinelone", "onelogin"])
def polled(
    request: pytest.FixtureRequest,
    settings: dict[str, str],
    sentinelone: SentinelOne,
) -> Iterator[Polled]:
    known = backlog(4_500)
    if request.param == "sentinelone":
        sentinelone.add("activities", known)
        ids = frozenset(record["id"] for record in known)
        yield Polled("sentinelone", sentinelone.faults, "/activities", STREAM, ids)
        return
    with OneLoginApi() as account:
        settings |= account.settings
        # Fifty a page: fewer events, and so large that they fill several batches.
        events = [
            {"id": number, "created_at": known[number]["createdAt"], "notes": "x" * 12_000}
            for number in range(360)
        ]
        account.add(events)
        ids = frozenset(str(event["id"]) for event in events)
        yield Polled("onelogin", account.faults, "/api/1/events", "Custom-OneLogin", ids)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["fetch", "upload"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_stop_between_any_two_effects_loses_nothing(
    settings: dict[str, str],
    polled: Polled,
    azure_monitor: AzureMonitor,
    place: str,
    when: str,
) -> None:
    """Enumerated: killed at its first request, at its second, and so on to the run's last one.

    A checkpoint is written between an upload's answer and the next request, so that a kill at each
    request, before and after it is done, is a kill on both sides of every write.
    """
    context, number, ended = processes(), 0, False
    faults = polled.faults if place == "fetch" else azure_monitor.faults
    path = polled.path if place == "fetch" else f"/streams/{polled.stream}"
    while not ended:
        number += 1
        forget_everything(azure_monitor)
        ended = not run_killed_at(
            number,
            when,
            faults=faults,
            path=path,
            settings=settings,
            context=context,
            connector=polled.connector,
        )
        assert repeated_bytes(azure_monitor, polled.stream) == 0
        assert run_to_end(context, settings, connector=polled.connector) == 0
        arrived = Counter(str(record["id"]) for record in azure_monitor.records(polled.stream))
        assert arrived.keys() == polled.ids
        assert repeated_bytes(azure_monitor, polled.stream) <= MOST_REPEATED
    assert number > 4


def forget_everything(monitor: AzureMonitor) -> None:
    """No checkpoint and no rows: the next run is a first one."""
    monitor.accepted.clear()
    table = storage.table(TABLE)
    with contextlib.suppress(ResourceNotFoundError):
        for row in list(table.list_entities()):
            table.delete_entity(row["PartitionKey"], row["RowKey"])
