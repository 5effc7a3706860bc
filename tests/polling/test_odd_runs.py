"""Runs among odd records and failing streams: all that is good arrives, nothing holds it up."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import FOREVER, answer, changed, html
from local.vendors.sentinelone import SentinelOne
from shared.azure.storage import forget_clients
from shared.connectors.sentinelone.lists import ListSource
from shared.errors import RunFailed
from shared.records.timestamps import isoformat, parse_time, utc_now
from shared.telemetry.run import RunState
from tests.polling.timers import (
    ACTIVITIES,
    activities,
    ago,
    arrived,
    poll_sentinelone,
    poll_without_time_left,
)

pytestmark = pytest.mark.usefixtures("settings_env")


def test_alerts_around_a_windows_start_arrive_once(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, only: Callable[[str], None]
) -> None:
    """They are asked for from a millisecond before the window, which is in the second before it."""
    only("unifiedalerts")
    base = (utc_now() - timedelta(minutes=13)).replace(microsecond=999_000)
    sentinelone.add(
        "unifiedalerts",
        ({"id": str(n), "detectedAt": isoformat(base + timedelta(seconds=n))} for n in range(600)),
    )
    poll_sentinelone()
    poll_sentinelone()
    counts = arrived(azure_monitor, "Custom-SentinelOneUnifiedAlerts")
    assert counts == Counter(str(n) for n in range(600))


def test_an_unexpected_error_fails_its_own_stream_alone(
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    only: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also a fault of ours: it is named by its class, for its text could quote a record."""
    only("threats,activities")
    sentinelone.add("activities", activities(range(3), minutes=5))

    def fail(_: Any, window: Any) -> Any:
        raise KeyError(f"hush-hush {window}")

    monkeypatch.setattr(ListSource, "pages", only_of("threats", ListSource.pages, fail))
    with pytest.raises(RunFailed, match=r"threats: .*KeyError") as raised:
        poll_sentinelone()
    assert "hush-hush" not in str(raised.value)
    assert len(arrived(azure_monitor)) == 3


def only_of(stream: str, usual: Callable[..., Any], other: Callable[..., Any]) -> Any:
    """A method that does ``other`` for one stream's source."""
    return lambda self, window: (other if self.stream.setting_name == stream else usual)(
        self, window
    )


def test_streams_that_cannot_be_delivered_leave_the_others_their_time(
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    only: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Retries of one stream end with its own share of the run, not with the whole of it."""
    only("alerts,threats,activities")
    monkeypatch.setenv("AzureFunctionsJobHost__functionTimeout", "00:00:08")
    info = {"alertId": "1", "createdAt": ago(minutes=5), "reportedAt": ago(minutes=5)}
    sentinelone.add("alerts", [{"alertInfo": info}])
    sentinelone.add("threats", [{"id": "1", "threatInfo": {"updatedAt": ago(minutes=5)}}])
    sentinelone.add("activities", activities(range(2_500), minutes=5))
    busy = answer(503, headers={"Retry-After": "1"})
    for stream in ("Alerts", "Threats"):
        azure_monitor.faults.add(f"Custom-SentinelOne{stream}", busy, times=FOREVER)
    with pytest.raises(RunFailed) as raised:
        poll_sentinelone()
    assert list(raised.value.failures) == ["alerts", "threats"]
    assert len(arrived(azure_monitor)) == 2_500


def test_a_stream_that_delivered_something_does_not_turn_itself_off(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, only: Callable[[str], None]
) -> None:
    """A 403 behind a first page is no licence that never was, nor is one in the run after it."""
    only("devicecontrol")
    sentinelone.add(
        "devicecontrol",
        ({"id": str(n), "eventTime": ago(seconds=3_000 - n)} for n in range(1_500)),
    )
    denied = answer(403).only(lambda request: "cursor" in request.query)
    for refusal in (denied, answer(403)):
        sentinelone.faults.add("device-control", refusal)
        with pytest.raises(RunFailed, match="devicecontrol: SentinelOne refused"):
            poll_sentinelone()
    poll_sentinelone()
    counts = arrived(azure_monitor, "Custom-SentinelOneDeviceControl")
    assert counts == Counter(str(n) for n in range(1_500))


def test_storage_that_is_no_address_is_named(
    sentinelone: SentinelOne, only: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message begins with the setting's name, and quotes nothing of its value."""
    only("activities")
    monkeypatch.setenv("AzureWebJobsStorage", "hush-hush")
    forget_clients()
    with pytest.raises(RunFailed, match="activities: AzureWebJobsStorage") as raised:
        poll_sentinelone()
    assert "hush-hush" not in str(raised.value)


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_a_record_dated_beyond_all_reason_arrives(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, only: Callable[[str], None], moment: str
) -> None:
    """Its time does not fit the fingerprint's four bytes; the run succeeds all the same."""
    only("activities")
    odd = {"data": [{"id": "1", "createdAt": moment}]}
    sentinelone.faults.add("activities", answer(200, json.dumps(odd)))
    poll_sentinelone()
    assert arrived(azure_monitor) == {"1": 1}


@pytest.mark.parametrize(("odd", "read"), [(b"caf\xe9", "caf\ufffd"), (b"a\tb", "a\tb")])
def test_a_byte_that_json_has_no_place_for_stops_no_stream(
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    only: Callable[[str], None],
    odd: bytes,
    read: str,
) -> None:
    """Latin-1, or a tab as it is: the records beside it arrive, and so does its own."""
    only("activities")
    page = json.dumps({"data": [*activities(range(2), minutes=5), {"id": "2", "a": "HERE"}]})
    sentinelone.faults.add("activities", answer(200, page.encode().replace(b"HERE", odd)))
    poll_sentinelone()
    records = azure_monitor.records(ACTIVITIES)
    assert [record["id"] for record in records] == ["0", "1", "2"]
    assert records[2]["AdditionalFields"] == {"a": read}


def test_a_record_newer_than_its_window_is_no_place_to_go_on_from(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """An object updated while paging must not advance the position."""
    last = ago(seconds=2_001)
    sentinelone.add(
        "activities",
        (
            {"id": str(n), "createdAt": ago(seconds=3_000 - n) if n != 999 else last}
            for n in range(2_000)
        ),
    )
    newer = changed(lambda body: body.replace(last.encode(), ago(hours=-1).encode()))
    sentinelone.faults.add("activities", newer)
    while poll_without_time_left("run") == RunState.CATCHING_UP:
        pass
    assert arrived(azure_monitor).keys() == {str(n) for n in range(2_000)}


def test_a_record_without_time_or_id_is_delivered_and_said_once(
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    only: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It gets the time of receipt; nothing is dropped because it is odd."""
    only("activities")
    odd = '{"data": [{"id": "1"}, {"createdAt": "soon", "id": "2"}, {"createdAt": "%s"}]}'
    sentinelone.faults.add("activities", answer(200, odd % ago(minutes=5)), times=2)
    before = utc_now() - timedelta(seconds=1)
    poll_sentinelone()
    poll_sentinelone()
    records = azure_monitor.records(ACTIVITIES)
    assert len(records) == 3
    assert all((parse_time(r["TimeGenerated"]) or before) >= before for r in records[:2])
    said = [
        r for r in caplog.records if r.levelno == logging.WARNING and "a record has no" in r.msg
    ]
    assert len(said) <= 2
    assert "no createdAt that is a time" in caplog.text
    assert "no id" in caplog.text


def test_one_streams_failure_leaves_the_others_whole(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, only: Callable[[str], None]
) -> None:
    """The invocation fails at its end, naming the stream and its cause."""
    only("threats,activities,devicecontrol")
    sentinelone.faults.add("/activities", html(), times=99)
    moment = ago(minutes=5)
    sentinelone.add("threats", [{"id": "1", "threatInfo": {"updatedAt": moment}}])
    sentinelone.add("devicecontrol", [{"id": "2", "eventTime": moment}])
    with pytest.raises(RunFailed) as raised:
        poll_sentinelone()
    assert list(raised.value.failures) == ["activities"]
    assert "text/html instead of JSON" in str(raised.value)
    assert len(azure_monitor.records("Custom-SentinelOneThreats")) == 1
    assert len(azure_monitor.records("Custom-SentinelOneDeviceControl")) == 1


def test_a_run_out_of_time_keeps_its_progress_and_the_next_goes_on(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """It stops between pages and is catching up, not failing; in the end all is there once."""
    sentinelone.add(
        "activities",
        ({"id": str(n), "createdAt": ago(seconds=80_000 - n * 9)} for n in range(8_000)),
    )
    statuses: list[str] = []
    while not statuses or statuses[-1] == RunState.CATCHING_UP:
        statuses.append(poll_without_time_left(f"run-{len(statuses)}"))
    assert len(statuses) > 3
    assert arrived(azure_monitor) == Counter(str(n) for n in range(8_000))
