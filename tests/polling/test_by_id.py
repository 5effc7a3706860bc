"""Applications and device control are read by id too: their times are not when they were learned.

The console here gives ids that grow as it learns of records, unless a test says otherwise.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import shared.azure.storage
from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import FOREVER, answer, first
from local.vendors.sentinelone import SentinelOne
from shared.connectors.sentinelone import CONNECTOR as SENTINELONE
from shared.errors import RunFailed
from shared.records.timestamps import isoformat, utc_now
from shared.state.checkpoint import TABLE
from tests.app import App
from tests.polling.short_runs import ShortRuns
from tests.polling.timers import ago, arrived, poll_sentinelone

pytestmark = pytest.mark.usefixtures("settings_env")
DEVICES, APPLICATIONS = "Custom-SentinelOneDeviceControl", "Custom-SentinelOneApplications"
YEARS_AGO = "2021-05-17T00:00:00Z"


@pytest.fixture(autouse=True)
def two_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the streams that are read by id, each due at every run."""
    monkeypatch.setenv("SentinelOneStreams", "devicecontrol,applications")
    monkeypatch.setenv("SentinelOneInventoryMinutes", "0")


def learn(console: SentinelOne, stream: str, numbers: range, moment: str) -> None:
    time = "eventTime" if stream == "devicecontrol" else "installedAt"
    console.add(stream, [{"id": str(n), time: moment} for n in numbers])


def change(stream: str, **properties: Any) -> None:
    """Have the stream's checkpoint say that something happened at another time."""
    table = shared.azure.storage.table(TABLE)
    row = next(row for row in table.list_entities() if row["RowKey"] == stream)
    table.upsert_entity({**row, **properties})


def earlier(**how_long: float) -> str:
    return isoformat(utc_now() - timedelta(**how_long))


def test_what_an_agent_that_enrols_today_brings_arrives(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """Programs installed years ago, and a date without a time, after the first inventory."""
    learn(sentinelone, "applications", range(100, 1_400), YEARS_AGO)
    poll_sentinelone()
    learn(sentinelone, "applications", range(1_400, 3_900), "2019-01-01T00:00:00Z")
    poll_sentinelone()
    poll_sentinelone()
    assert arrived(azure_monitor, APPLICATIONS) == Counter(str(n) for n in range(100, 3_900))


def test_a_look_into_an_older_copy_of_the_data_repeats_nothing(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """Its highest id is lower than one that came; the next look does not begin from there."""
    learn(sentinelone, "applications", range(100, 200), YEARS_AGO)
    poll_sentinelone()
    older = [{"id": str(n), "installedAt": YEARS_AGO} for n in range(150, 99, -1)]
    sentinelone.faults.add("installed-applications", answer(200, json.dumps({"data": older})))
    poll_sentinelone()
    learn(sentinelone, "applications", range(200, 210), YEARS_AGO)
    poll_sentinelone()
    assert arrived(azure_monitor, APPLICATIONS) == Counter(map(str, range(100, 210)))


def test_a_look_that_begins_with_an_empty_page_notes_the_highest_id(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """A vendor may filter a page after it was cut: its cursor leads to the first records."""
    learn(sentinelone, "devicecontrol", range(100, 200), YEARS_AGO)
    empty = {"data": [], "pagination": {"nextCursor": "c"}}
    rest = {"data": [{"id": str(n), "eventTime": YEARS_AGO} for n in range(199, 99, -1)]}
    for page in (empty, rest):
        sentinelone.faults.add("device-control", answer(200, json.dumps(page)))
    for _ in range(2):
        poll_sentinelone()
    learn(sentinelone, "devicecontrol", range(200, 205), YEARS_AGO)
    poll_sentinelone()
    assert arrived(azure_monitor, DEVICES) == Counter(map(str, range(200, 205)))


def test_an_application_without_a_date_arrives(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """No window of time has it; the look by id does."""
    sentinelone.add("applications", [{"id": "7", "installedAt": None}])
    poll_sentinelone()
    sentinelone.add("applications", [{"id": "8", "installedAt": None}])
    poll_sentinelone()
    assert arrived(azure_monitor, APPLICATIONS) == {"7": 1, "8": 1}


def test_a_longer_overlap_says_nothing_of_ids(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its window has records that a look brought and whose fingerprints are gone: none repeats."""
    learn(sentinelone, "applications", range(100), YEARS_AGO)
    poll_sentinelone()
    for n in range(20):
        learn(sentinelone, "applications", range(100 + n, 101 + n), earlier(hours=n + 1))
    poll_sentinelone()
    change(APPLICATIONS, checked_at=earlier(hours=1))
    monkeypatch.setenv("OverlapMinutes", "1440")
    for _ in range(2):
        assert poll_sentinelone()[APPLICATIONS].note == ""
    assert arrived(azure_monitor, APPLICATIONS) == Counter(map(str, range(120)))


def test_windows_that_fail_for_hours_say_nothing_of_ids(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """Looks go on meanwhile; the window that succeeds meets what they brought hours ago."""
    learn(sentinelone, "applications", range(100), YEARS_AGO)
    poll_sentinelone()
    change(APPLICATIONS, checked_at=earlier(hours=5))
    learn(sentinelone, "applications", range(100, 120), earlier(hours=4))
    busy = answer(503, headers={"Retry-After": "9999"}).only(lambda r: r.query["sortBy"] != "id")
    sentinelone.faults.add("installed-applications", busy)
    with pytest.raises(RunFailed, match="applications"):
        poll_sentinelone()
    for _ in range(2):
        assert poll_sentinelone()[APPLICATIONS].note == ""
    assert arrived(azure_monitor, APPLICATIONS) == Counter(map(str, range(120)))


def test_a_device_that_was_off_line_reports_hours_late(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """Its events have its own clock's times, before every overlap."""
    learn(sentinelone, "devicecontrol", range(100, 130), ago(hours=2))
    poll_sentinelone()
    learn(sentinelone, "devicecontrol", range(130, 140), ago(hours=19))
    learn(sentinelone, "devicecontrol", range(140, 150), ago(minutes=1))
    poll_sentinelone()
    change(DEVICES, checked_at=earlier(hours=2))
    poll_sentinelone()
    assert arrived(azure_monitor, DEVICES) == Counter(str(n) for n in range(100, 150))


def test_the_first_look_begins_where_the_lookback_does(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """Events of years past are not fetched by the first look; what is learned later is."""
    learn(sentinelone, "devicecontrol", range(100, 110), YEARS_AGO)
    learn(sentinelone, "devicecontrol", range(110, 112), ago(hours=3))
    poll_sentinelone()
    learn(sentinelone, "devicecontrol", range(112, 114), YEARS_AGO)
    poll_sentinelone()
    assert arrived(azure_monitor, DEVICES) == Counter(("110", "111", "112", "113"))


def test_an_idle_look_is_one_request(sentinelone: SentinelOne) -> None:
    """A window of time checks only once an hour that the looks bring all."""
    learn(sentinelone, "devicecontrol", range(100, 110), ago(hours=2))
    poll_sentinelone()
    sentinelone.requests.clear()
    run = poll_sentinelone()[DEVICES]
    assert sentinelone.server.count("device-control") == run.requests == 1
    assert run.seconds_behind is not None
    assert run.seconds_behind < 60


def test_a_look_of_more_than_a_run_is_resumed(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its top and how far down it came are kept, also where the vendor refuses its cursor."""
    learn(sentinelone, "applications", range(1_000, 1_010), YEARS_AGO)
    poll_sentinelone()
    learn(sentinelone, "applications", range(2_000, 9_000), YEARS_AGO)
    short = ShortRuns(SENTINELONE, "applications", sentinelone, 2, monkeypatch)
    assert short.run().status == "catching up"
    learn(sentinelone, "applications", range(9_000, 9_100), YEARS_AGO)
    refused = answer(400).only(lambda request: "cursor" in request.query)
    sentinelone.faults.add("installed-applications", refused)
    assert short.run().records == 0
    short.pages = 4
    short.until_done(most=4)
    poll_sentinelone()
    counts = arrived(azure_monitor, APPLICATIONS)
    assert counts == Counter(str(n) for n in [*range(1_000, 1_010), *range(2_000, 9_100)])


def test_what_arrived_beside_a_failed_batch_of_a_look_is_not_sent_again(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """Each application of years ago arrives once, although a batch of the look was refused."""
    bulk = {"installedAt": YEARS_AGO, "publisher": "x" * 2_000}
    sentinelone.add("applications", ({"id": str(n), **bulk} for n in range(1_000, 5_000)))
    later = (first(int), first(int), answer(403))
    azure_monitor.faults.add("SentinelOneApplications", *later)
    with pytest.raises(RunFailed, match="applications"):
        poll_sentinelone()
    for _ in range(2):
        poll_sentinelone()
    assert arrived(azure_monitor, APPLICATIONS) == Counter(str(n) for n in range(1_000, 5_000))


def test_ids_that_do_not_grow_are_noticed_and_a_day_is_looked_back(
    app: App,
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once an hour, from then on; one warning, and a note on the status page."""
    learn(sentinelone, "devicecontrol", range(500, 520), ago(hours=2))
    poll_sentinelone()
    learn(sentinelone, "devicecontrol", range(100, 105), ago(minutes=2))
    change(DEVICES, checked_at=earlier(hours=2))
    poll_sentinelone()
    poll_sentinelone()
    learn(sentinelone, "devicecontrol", range(200, 205), ago(hours=20))
    change(DEVICES, slow_at=earlier(hours=2))
    poll_sentinelone()
    expected = [*range(500, 520), *range(100, 105), *range(200, 205)]
    assert arrived(azure_monitor, DEVICES) == Counter(map(str, expected))
    said = [r for r in caplog.records if "ids do not grow" in r.getMessage()]
    assert [r.levelno for r in said] == [logging.WARNING]
    reason = app.stream("SentinelOneDeviceControl")["assessment"]["reason"]
    assert "Once an hour a day is looked back at" in reason


def test_a_console_that_does_not_sort_by_id_has_its_inventory_read_weekly(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, only: Callable[[str], None]
) -> None:
    """Applications by the day of their installation, all of them once a week."""
    only("applications")
    by_id = answer(400).only(lambda request: request.query.get("sortBy") == "id")
    sentinelone.faults.add("installed-applications", by_id, times=FOREVER)
    learn(sentinelone, "applications", range(100, 110), YEARS_AGO)
    run = poll_sentinelone()[APPLICATIONS]
    assert "Once a week" in run.note
    learn(sentinelone, "applications", range(110, 120), YEARS_AGO)
    poll_sentinelone()
    assert len(arrived(azure_monitor, APPLICATIONS)) == 10
    change(APPLICATIONS, slow_at=earlier(days=8))
    poll_sentinelone()
    assert arrived(azure_monitor, APPLICATIONS) == Counter(str(n) for n in range(100, 120))


def test_ids_that_are_no_numbers_are_read_the_slower_way(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """Which of two is higher cannot be said, so nothing is lost by guessing."""
    sentinelone.add("applications", [{"id": f"a{n}", "installedAt": YEARS_AGO} for n in range(30)])
    assert "Once a week" in poll_sentinelone()[APPLICATIONS].note
    poll_sentinelone()
    assert arrived(azure_monitor, APPLICATIONS) == Counter(f"a{n}" for n in range(30))
