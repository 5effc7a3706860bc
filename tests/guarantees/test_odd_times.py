"""Nights on which local clocks are changed, events of 1970, events that have yet to happen."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.vendors.sentinelone import SentinelOne
from shared.connectors.sentinelone import CONNECTOR
from shared.polling import pipeline
from shared.polling.run import poll
from shared.records.timestamps import isoformat, utc_now
from shared.telemetry.run import RunState
from tests.guarantees.model import Plan, World, install

NIGHTS = [datetime(2026, 3, 28, 22, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC)]


@pytest.fixture(params=["Europe/Berlin", "America/St_Johns"])
def local_zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """A host that is not set to UTC, as a developer's machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="Windows has no tzset")
@pytest.mark.parametrize("night", NIGHTS, ids=str)
def test_a_night_on_which_clocks_are_changed_is_a_night_like_others(
    local_zone: str, night: datetime
) -> None:
    """An event every five minutes, a tick every five: each arrives once, none waits."""
    world = World()
    world.now = night
    with pytest.MonkeyPatch.context() as patch:
        handler = install(world, patch, rows=60)
        for number in range(12 * 12):
            world.tenant.add(world.new(f"r{number}", number % 600))
            world.now += timedelta(minutes=5)
            assert world.run(Plan()) == RunState.OK
            assert world.tenant.must_have_arrived(world.now) == set(world.tenant.arrived)
        pipeline.logger.removeHandler(handler)
    assert set(world.tenant.arrived.values()) == {1}


def test_an_event_with_a_time_to_come_arrives_once_when_it_has_come() -> None:
    """A device's clock is two hours ahead: its report waits for its window, and is not lost."""
    world = World()
    with pytest.MonkeyPatch.context() as patch:
        handler = install(world, patch, rows=60)
        world.tenant.add(world.new("ahead", -7_200))
        for _ in range(30):
            world.now += timedelta(minutes=5)
            world.tenant.add(world.new(f"at {world.now}", 1))
            assert world.run(Plan()) == RunState.OK
        pipeline.logger.removeHandler(handler)
    assert sum("ahead" in name for name in world.tenant.arrived) == 1
    assert set(world.tenant.arrived.values()) == {1}


@pytest.mark.usefixtures("settings_env")
def test_a_record_dated_1970_arrives_once(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An inventory is read from the beginning of time, where an agent without one stands."""
    monkeypatch.setenv("SentinelOneStreams", "agents")
    monkeypatch.setenv("SentinelOneInventoryMinutes", "0.5")
    times = ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00.001Z", isoformat(utc_now())]
    sentinelone.add("agents", ({"id": str(n), "updatedAt": at} for n, at in enumerate(times)))
    poll(CONNECTOR)
    (again,) = poll(CONNECTOR)
    assert again.repeats > 0
    records = azure_monitor.records("Custom-SentinelOneAgents")
    assert Counter(record["id"] for record in records) == {"0": 1, "1": 1, "2": 1}
