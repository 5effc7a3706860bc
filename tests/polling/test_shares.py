"""How the streams of a run share its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.vendors.sentinelone import SentinelOne
from shared.polling.budget import budget_seconds
from shared.records.timestamps import isoformat, utc_now
from tests.app import App
from tests.polling.timers import ACTIVITIES, arrived, poll_sentinelone

pytestmark = pytest.mark.usefixtures("settings_env")


def test_a_stream_that_is_behind_has_the_time_that_idle_ones_leave(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine idle streams and a backlog that needs far more than a tenth of the run."""
    monkeypatch.setenv("AzureFunctionsJobHost__functionTimeout", "00:00:32")
    monkeypatch.setenv("SentinelOneRequestsPerSecond", "4")
    now = utc_now()
    sentinelone.add(
        "activities",
        (
            {"id": str(n), "createdAt": isoformat(now - timedelta(hours=20, seconds=-n))}
            for n in range(12_000)
        ),
    )
    run = poll_sentinelone()[ACTIVITIES]
    assert arrived(azure_monitor) == Counter(str(n) for n in range(12_000))
    assert (run.status, run.records) == ("ok", 12_000)
    assert run.requests == sentinelone.server.count("/activities")


def test_rounds_of_a_run_are_one_row_and_one_line(
    app: App, only: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream polled twice in a run reports the sum, once; its history counts each record once."""
    only("activities,threats")
    monkeypatch.setenv("AzureFunctionsJobHost__functionTimeout", "00:00:08")
    monkeypatch.setenv("SentinelOneRequestsPerSecond", "3")
    now = utc_now()
    app.sentinelone.add(
        "activities",
        (
            {"id": str(n), "createdAt": isoformat(now - timedelta(hours=20, seconds=-n))}
            for n in range(15_000)
        ),
    )
    activities = next(r for r in app.poll_sentinelone() if r.stream == ACTIVITIES)
    rows = app.monitor.records("Custom-ConnectorHealth")
    (row,) = [row for row in rows if row["Stream"] == ACTIVITIES]
    assert row["Records"] == activities.records > 5_000
    hours = app.stream("SentinelOneActivities")["hours"]
    assert sum(hour["records"] for hour in hours) == activities.records


def test_a_function_without_a_time_limit_is_polled_for_24_minutes(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Flex Consumption plan allows -1: polls run, and the status page shows them."""
    monkeypatch.setenv("AzureFunctionsJobHost__functionTimeout", "-1")
    assert budget_seconds() == pytest.approx(1440)
    app.fill(3)
    assert sum(run.records for run in app.poll_sentinelone()) > 3
    assert app.stream("SentinelOneActivities")["assessment"]["state"] == "ok"
