"""Two hosts on one storage account, and hosts whose clock is wrong."""

from __future__ import annotations

import contextlib
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import first
from local.vendors.sentinelone import SentinelOne
from shared.connectors.sentinelone import CONNECTOR
from shared.errors import CheckpointConflict, RunFailed
from shared.polling import poll_lease, stream_poll
from shared.polling import run as polling_run
from shared.polling.run import poll
from shared.records.timestamps import isoformat, utc_now
from shared.state.lease import PollLease, held_lease

STREAM = "Custom-SentinelOneActivities"


@pytest.fixture(autouse=True)
def only_activities(settings_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SentinelOneStreams", "activities")


def activities(numbers: range, back: Callable[[int], timedelta]) -> list[dict[str, Any]]:
    now = utc_now()
    return [{"id": str(n), "createdAt": isoformat(now - back(n))} for n in numbers]


def arrived(monitor: AzureMonitor) -> Counter[str]:
    return Counter(str(record["id"]) for record in monitor.records(STREAM))


def test_without_the_lease_the_etag_stops_the_slower_of_two_runs(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second line: a run whose checkpoint was moved fails, and what it sent repeats at most."""
    monkeypatch.setattr(poll_lease, "held_lease", lease_for_anybody)
    sentinelone.add("activities", activities(range(50), lambda n: timedelta(minutes=n)))
    sentinelone.faults.add("/activities", first(lambda: poll(CONNECTOR)))
    with pytest.raises(RunFailed) as raised:
        poll(CONNECTOR)
    assert isinstance(raised.value.failures["activities"], CheckpointConflict)
    assert "second app" in str(raised.value)
    before = arrived(azure_monitor)
    assert before == {str(n): 2 for n in range(50)}
    poll(CONNECTOR)
    assert arrived(azure_monitor) == before


@contextlib.contextmanager
def lease_for_anybody(connector: str, _: str) -> Iterator[PollLease]:
    """As ``held_lease``, of another blob for each run."""
    with held_lease(connector, uuid.uuid4().hex) as lease:
        assert lease is not None
        yield lease


@pytest.mark.parametrize("wrong", [timedelta(minutes=10), timedelta(minutes=-10)])
def test_a_host_with_a_wrong_clock_skips_nothing(
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    monkeypatch: pytest.MonkeyPatch,
    wrong: timedelta,
) -> None:
    """The watermark is the lesser of the window's end and the vendor's own clock."""

    def host_clock() -> datetime:
        return utc_now() + wrong

    with monkeypatch.context() as host:
        for module in (stream_poll, polling_run):
            host.setattr(module, "utc_now", host_clock)
        sentinelone.add("activities", activities(range(20), lambda n: timedelta(minutes=n)))
        poll(CONNECTOR)
        sentinelone.add("activities", activities(range(20, 30), lambda n: timedelta(seconds=n)))
        poll(CONNECTOR)
    sentinelone.add("activities", activities(range(30, 33), lambda _: timedelta(minutes=9)))
    poll(CONNECTOR)
    assert arrived(azure_monitor) == Counter(str(n) for n in range(33))
