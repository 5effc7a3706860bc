"""Two processes of one app at once: the lease leaves a connection with one of them."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import delay, first
from local.vendors.sentinelone import SentinelOne
from shared.records.timestamps import isoformat, utc_now
from shared.state.lease import LeaseTimes, read_leases
from tests.guarantees.runs_in_processes import USUAL, Host, begin, is_frozen, processes, run_to_end
from tests.guarantees.test_kills import MOST_REPEATED, backlog, repeated_bytes

STREAM = "Custom-SentinelOneActivities"
HEALTH = "Custom-ConnectorHealth"
AHEAD = Host(clock=timedelta(minutes=10))
# Azure's shortest lease, so that a test need not wait a minute for it to lapse.
SHORT = LeaseTimes(length=15, renew=5, sure=12)
# Until a process has come somewhere.
SECONDS = 60.0


@pytest.fixture
def settings(settings_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("SentinelOneStreams", "activities")
    return settings_env


def arrived(monitor: AzureMonitor) -> Counter[str]:
    return Counter(str(record["id"]) for record in monitor.records(STREAM))


def statuses(monitor: AzureMonitor) -> list[str]:
    return [str(row["Status"]) for row in monitor.records(HEALTH)]


def until(happened: Callable[[], bool]) -> None:
    """Return once it has happened; fail after a minute."""
    pause = threading.Event()
    for _ in range(int(SECONDS / 0.05)):
        if happened():
            return
        pause.wait(0.05)
    pytest.fail("it did not happen within a minute")


@contextmanager
def frozen(context: Any, settings: dict[str, str], host: Host) -> Iterator[Any]:
    """A run that has stopped between the check of its lease and its first upload."""
    process = begin(context, settings, host)
    try:
        until(lambda: is_frozen(process))
        yield process
    finally:
        process.kill()


def go_on(process: Any) -> int:
    """Thaw the run; return its exit code."""
    os.kill(process.pid, signal.SIGCONT)
    process.join(SECONDS)
    assert process.exitcode is not None
    return int(process.exitcode)


@pytest.mark.parametrize("second", [USUAL, AHEAD], ids=["", "ten minutes ahead"])
def test_two_hosts_side_by_side_send_nothing_twice(
    settings: dict[str, str], sentinelone: SentinelOne, azure_monitor: AzureMonitor, second: Host
) -> None:
    """Five ticks of two processes at once: each record arrives once, and neither run fails."""
    context, known = processes(), [str(number) for number in range(500)]
    ended: list[int | None] = []
    for tick in range(5):
        now = isoformat(utc_now())
        fresh = [{"id": name, "createdAt": now} for name in known[tick * 100 : (tick + 1) * 100]]
        sentinelone.add("activities", fresh)
        sentinelone.faults.add("/activities", delay(0.3))
        both = [begin(context, settings), begin(context, settings, second)]
        for process in both:
            process.join(SECONDS)
        ended += [process.exitcode for process in both]
    assert ended == [0] * 10
    assert run_to_end(context, settings) == 0
    assert arrived(azure_monitor) == dict.fromkeys(known, 1)
    assert set(statuses(azure_monitor)) == {"ok"}


@pytest.mark.slow
def test_a_run_frozen_for_two_minutes_repeats_what_a_kill_may(
    settings: dict[str, str], sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """Stopped between check and upload until its lease lapsed and another run polled."""
    records = backlog(6_000)
    sentinelone.add("activities", records)
    context = processes()
    with frozen(context, settings, Host(freezes=True)) as process:
        began = threading.Timer(120, lambda: None)
        began.start()
        until_lapsed()
        assert run_to_end(context, settings) == 0
        assert arrived(azure_monitor) == {record["id"]: 1 for record in records}
        began.join()
        assert go_on(process) == 0
    assert arrived(azure_monitor).keys() == {record["id"] for record in records}
    assert 0 < repeated_bytes(azure_monitor) <= MOST_REPEATED
    assert "failing" not in statuses(azure_monitor)


@pytest.mark.slow
def test_a_run_that_lost_its_lease_begins_no_further_upload(
    settings: dict[str, str], sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """Frozen beyond its lease's end, while nobody else polls: it ends without an alert."""
    records = backlog(12_000)
    sentinelone.add("activities", records)
    context = processes()
    with frozen(context, settings, Host(freezes=True, times=SHORT)) as process:
        until(lambda: not read_leases().held)
        assert go_on(process) == 0
    assert len(arrived(azure_monitor)) < len(records)
    assert statuses(azure_monitor) == []
    assert run_to_end(context, settings) == 0
    assert arrived(azure_monitor).keys() == {record["id"] for record in records}
    assert repeated_bytes(azure_monitor) <= MOST_REPEATED


@pytest.mark.slow
def test_a_killed_runs_lease_lapses_and_the_next_run_tells(
    settings: dict[str, str],
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
) -> None:
    """Until then runs leave at once; afterwards nothing is lost, and the lease counts the kill."""
    records = backlog(300)
    sentinelone.add("activities", records)
    context, host = processes(), Host(times=SHORT)
    process = begin(context, settings, host)
    sentinelone.faults.add("/activities", first(process.kill))
    process.join(SECONDS)
    assert run_to_end(context, settings, host) == 0
    assert arrived(azure_monitor) == {}
    until(lambda: not read_leases().held)
    killed = read_leases().polls["SentinelOne"]
    assert killed.began
    assert killed.ended is None
    sentinelone.faults.add("/activities", first(lambda: seen.append(read_leases())))
    seen: list[Any] = []
    assert run_to_end(context, settings, host) == 0
    assert seen[0].polls["SentinelOne"].unended == 1
    assert read_leases().polls["SentinelOne"].unended == 0
    assert arrived(azure_monitor) == {record["id"]: 1 for record in records}


def until_lapsed() -> None:
    """Wait for the end of a lease of 60 s."""
    pause = threading.Event()
    for _ in range(90):
        if not read_leases().held:
            return
        pause.wait(1)
    pytest.fail("the lease did not lapse")
