"""A timer's run, end to end: a vendor over HTTP, Azurite, and Azure Monitor over TLS."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.data.tables import TableClient

import shared.storage
from local.azure_monitor import AzureMonitor
from local.azurite import Azurite
from local.faults import FOREVER, answer, changed, html
from local.vendors.jira import Jira
from local.vendors.sentinelone import SentinelOne
from shared.checkpoints import TABLE, StreamCheckpoint, partition_key
from shared.connectors import jira as jira_connector
from shared.connectors import sentinelone as sentinelone_connector
from shared.connectors.sentinelone.lists import ListSource
from shared.delivery.dead_letters import DeadLetters
from shared.delivery.delivery import Delivery
from shared.delivery.destination import destination
from shared.errors import RunFailed, SettingsError, StorageUnavailable
from shared.polling.engine import Lookback, StreamPoll
from shared.polling.runner import budget_seconds, poll
from shared.records import isoformat, parse_time, utc_now
from shared.runs import CATCHING_UP, StreamRun
from shared.settings import read_destination
from tests.connectors.makers import record_of

pytestmark = pytest.mark.usefixtures("settings_env")

ACTIVITIES = "Custom-SentinelOneActivities"


def ago(**how_long: float) -> str:
    return isoformat(utc_now() - timedelta(**how_long))


def activities(numbers: range, **how_long: float) -> list[dict[str, Any]]:
    moment = ago(**how_long)
    return [{"id": str(n), "createdAt": moment, "updatedAt": moment} for n in numbers]


def poll_sentinelone() -> dict[str, StreamRun]:
    return {run.stream: run for run in poll(sentinelone_connector.CONNECTOR)}


def arrived(monitor: AzureMonitor, stream: str = ACTIVITIES) -> Counter[str]:
    return Counter(str(record["id"]) for record in monitor.records(stream))


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda streams: monkeypatch.setenv("SentinelOneStreams", streams)


def checkpoint_rows(connection: str) -> list[dict[str, Any]]:
    with TableClient.from_connection_string(connection, TABLE) as table:
        return [dict(row) for row in table.list_entities()]


def change_row(connection: str, stream: str, **changes: Any) -> None:
    with TableClient.from_connection_string(connection, TABLE) as table:
        row = next(row for row in table.list_entities() if row["RowKey"] == stream)
        table.upsert_entity({**row, **changes})


def test_all_ten_streams_arrive_and_a_second_run_sends_nothing_again(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """Every record of every stream is there once, however often the timer ticks."""
    now = utc_now()
    back = (now - datetime(2026, 3, 1, 12, tzinfo=UTC)).total_seconds() - 3600
    streams = [name for name in sentinelone.streams if name not in ("accounts", "sites")]
    for stream in streams:
        sentinelone.add(stream, (record_of(stream, n, back + n) for n in range(30)))
    sentinelone.add("sites", [{"id": "s1", "name": "Oslo"}])
    poll_sentinelone()
    poll_sentinelone()
    names = {name.removeprefix("Custom-SentinelOne").lower(): name for name in all_streams()}
    for stream in streams:
        ids = Counter(
            str(r.get("alertInfo", r.get("AdditionalFields", {})).get("alertId", r["id"]))
            for r in azure_monitor.records(names[stream])
        )
        assert ids == Counter(str(n) for n in range(30)), stream
    assert len(azure_monitor.records("Custom-SentinelOneSites")) == 1
    assert len(azure_monitor.records("Custom-SentinelOnePolicies")) == 1


def all_streams() -> list[str]:
    lists = [stream.name for stream, _ in sentinelone_connector.LISTS.values()]
    return [*lists, sentinelone_connector.UNIFIED_ALERTS.name]


def test_a_record_keeps_its_own_time_and_says_what_it_is(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, only: Callable[[str], None]
) -> None:
    """TimeGenerated is the event's time, event_name the stream's name with a dot."""
    only("threats")
    created, updated = ago(hours=3), ago(hours=2)
    times = {"createdAt": created, "updatedAt": updated}
    sentinelone.add("threats", [{"id": "7", "threatInfo": times, "unheard": "of"}])
    poll_sentinelone()
    (record,) = azure_monitor.records("Custom-SentinelOneThreats")
    assert record["TimeGenerated"] == updated
    assert record["event_name"] == "Threats."
    assert record["threatInfo"] == times
    assert record["AdditionalFields"] == {"unheard": "of"}


def test_a_threat_that_changes_is_sent_again_with_its_change(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, only: Callable[[str], None]
) -> None:
    """A record is known by its id and its update: each state of a threat arrives once."""
    only("threats")
    sentinelone.add("threats", [{"id": "7", "threatInfo": {"updatedAt": ago(minutes=9)}}])
    poll_sentinelone()
    sentinelone.update("threats", "7", {"threatInfo": {"updatedAt": ago(minutes=1)}})
    poll_sentinelone()
    poll_sentinelone()
    assert arrived(azure_monitor, "Custom-SentinelOneThreats") == {"7": 2}


def test_jira_arrives_once(jira: Jira, azure_monitor: AzureMonitor) -> None:
    """The same engine, from the newest to the oldest."""
    created = (utc_now() - timedelta(minutes=20)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    jira.add({"id": n, "summary": "User created", "created": created} for n in range(120))
    poll(jira_connector.CONNECTOR)
    poll(jira_connector.CONNECTOR)
    assert arrived(azure_monitor, "Custom-JiraAudit") == Counter(str(n) for n in range(120))


def test_a_late_event_arrives_once(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, only: Callable[[str], None]
) -> None:
    """What appears within the overlap after its time was polled is found by the next run."""
    only("activities")
    sentinelone.add("activities", activities(range(5), minutes=1))
    poll_sentinelone()
    sentinelone.add("activities", activities(range(5, 8), minutes=9))
    runs = poll_sentinelone()
    assert arrived(azure_monitor) == Counter(str(n) for n in range(8))
    assert runs[ACTIVITIES].records == 3
    assert runs[ACTIVITIES].repeats == 5


def test_a_changed_host_starts_its_own_checkpoint(
    sentinelone: SentinelOne, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another tenant never inherits a watermark."""
    monkeypatch.setenv("SentinelOneStreams", "activities")
    poll_sentinelone()
    with SentinelOne() as other:
        monkeypatch.setenv("SentinelOneUrl", other.url + "/")
        other.add("activities", activities(range(3), hours=20))
        assert poll_sentinelone()[ACTIVITIES].records == 3
        keys = {row["PartitionKey"] for row in checkpoint_rows(storage)}
        assert keys == {partition_key("SentinelOne", url) for url in (sentinelone.url, other.url)}


def test_a_path_is_part_of_the_checkpoints_key() -> None:
    """Two sites behind one gateway are two tenants; slashes are not allowed in a key."""
    key = partition_key("Jira", "https://api.atlassian.com/ex/jira/0f-1e")
    assert key == "Jira:api.atlassian.com|ex|jira|0f-1e"


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


def test_an_optional_stream_that_never_worked_turns_itself_off(
    sentinelone: SentinelOne, caplog: pytest.LogCaptureFixture, only: Callable[[str], None]
) -> None:
    """One warning that names the licence; then quiet for an hour, and the others go on."""
    only("alerts,activities")
    sentinelone.denied["alerts"] = 403
    sentinelone.add("activities", activities(range(3), minutes=5))
    runs = poll_sentinelone()
    assert runs["Custom-SentinelOneAlerts"].status == "off"
    assert runs[ACTIVITIES].records == 3
    poll_sentinelone()
    assert sentinelone.server.count("cloud-detection/alerts") == 1
    warned = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warned) == 1
    assert "licence" in warned[0].getMessage()


def test_an_optional_stream_that_is_off_is_tried_again_hourly(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, storage: str, only: Callable[[str], None]
) -> None:
    """A licence that is bought later needs no restart."""
    only("alerts")
    sentinelone.denied["alerts"] = 404
    poll_sentinelone()
    sentinelone.denied.clear()
    info = {"alertId": "a", "createdAt": ago(hours=2), "reportedAt": ago(hours=2)}
    sentinelone.add("alerts", [{"id": "a", "alertInfo": info}])
    change_row(storage, "Custom-SentinelOneAlerts", looked_at=ago(minutes=61))
    assert poll_sentinelone()["Custom-SentinelOneAlerts"].status == "ok"
    assert len(azure_monitor.records("Custom-SentinelOneAlerts")) == 1


def test_an_optional_stream_that_once_worked_fails_aloud(
    sentinelone: SentinelOne, only: Callable[[str], None]
) -> None:
    """A permission taken away is not a licence that never was."""
    only("alerts")
    poll_sentinelone()
    sentinelone.denied["alerts"] = 403
    with pytest.raises(RunFailed, match="alerts: SentinelOne refused"):
        poll_sentinelone()


@pytest.mark.parametrize("stream", ["activities", "threats"])
def test_a_stream_that_everyone_has_never_turns_itself_off(
    sentinelone: SentinelOne, only: Callable[[str], None], stream: str
) -> None:
    """A 403 on activities is a permission to be given, not a feature to do without."""
    only(stream)
    sentinelone.denied[stream] = 403
    with pytest.raises(RunFailed, match=stream):
        poll_sentinelone()


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


def test_what_nobody_thought_of_fails_its_own_stream_alone(
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
    with pytest.raises(RunFailed, match="threats: .*KeyError") as raised:
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


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_a_record_dated_beyond_all_reason_arrives(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, only: Callable[[str], None], moment: str
) -> None:
    """No fingerprint of it fits the checkpoint's four bytes of time, and that holds nobody up."""
    only("activities")
    odd = '{"data": [{"id": "1", "createdAt": "%s"}]}' % moment
    sentinelone.faults.add("activities", answer(200, odd))
    poll_sentinelone()
    assert arrived(azure_monitor) == {"1": 1}


def test_inventory_is_looked_at_hourly(
    sentinelone: SentinelOne, storage: str, only: Callable[[str], None]
) -> None:
    """An agent's heartbeat would otherwise be stored 288 times a day."""
    only("agents,activities")
    poll_sentinelone()
    assert set(poll_sentinelone()) == {ACTIVITIES}
    assert sentinelone.server.count("/agents") == 1
    change_row(storage, "Custom-SentinelOneAgents", looked_at=ago(minutes=60))
    assert "Custom-SentinelOneAgents" in poll_sentinelone()


def test_inventory_is_taken_in_full_the_first_time(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, only: Callable[[str], None]
) -> None:
    """An agent last changed years ago belongs to the inventory as well."""
    only("agents")
    sentinelone.add("agents", [{"id": "old", "updatedAt": "2019-01-01T00:00:00Z"}])
    poll_sentinelone()
    assert arrived(azure_monitor, "Custom-SentinelOneAgents") == {"old": 1}


def test_a_snapshot_is_sent_when_its_content_changed(
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    only: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also when it changes back: what is compared is the last state, not every one there was."""
    only("policies")
    monkeypatch.setenv("SentinelOneInventoryMinutes", "0")
    for mode in ("detect", "detect", "protect", "protect", "detect"):
        sentinelone.policies[("tenant", "")] = {"mitigationMode": mode}
        poll_sentinelone()
    sent = [r["mitigationMode"] for r in azure_monitor.records("Custom-SentinelOnePolicies")]
    assert sent == ["detect", "protect", "detect"]


def test_an_idle_poll_is_one_request_and_one_write_a_stream(
    sentinelone: SentinelOne, storage: str, only: Callable[[str], None]
) -> None:
    """What costs nothing to know costs nothing to ask."""
    only("threats,activities,devicecontrol")
    poll_sentinelone()
    before = {row["RowKey"]: row["written"] for row in checkpoint_rows(storage)}
    sentinelone.requests.clear()
    poll_sentinelone()
    assert len(sentinelone.requests) == 3
    after = {row["RowKey"]: row["written"] for row in checkpoint_rows(storage)}
    assert after.keys() == before.keys()
    assert all(written.endswith("-1") for written in after.values())


def test_storage_that_is_down_fails_the_run_before_anything_is_fetched(
    sentinelone: SentinelOne, monkeypatch: pytest.MonkeyPatch, only: Callable[[str], None]
) -> None:
    """Without its checkpoint a run does not know where to begin."""
    only("activities")
    monkeypatch.setenv("AzureWebJobsStorage", Azurite().connection_string + closed_port())
    with pytest.raises(RunFailed) as raised:
        poll_sentinelone()
    assert isinstance(raised.value.failures["activities"], StorageUnavailable)
    assert "AzureWebJobsStorage" in str(raised.value)
    assert sentinelone.server.count("activities") == 0


def closed_port() -> str:
    return ";TableEndpoint=http://127.0.0.1:9/devstoreaccount1"


@pytest.mark.parametrize(
    "nonsense",
    [
        {"format": 99},
        {"watermark": "last Tuesday"},
        {"seen00": b"12345"},
        {"seen00": "text"},
        {"window_end": "2026-01-01T00:00:00Z"},
        {"rows": -1},
        {"rows": 3},
    ],
)
def test_a_checkpoint_edited_into_nonsense_says_how_to_reset_it(
    sentinelone: SentinelOne,
    storage: str,
    only: Callable[[str], None],
    nonsense: dict[str, Any],
) -> None:
    """Never a silent restart from now: that would lose what lies between."""
    only("activities")
    poll_sentinelone()
    change_row(storage, ACTIVITIES, **nonsense)
    sentinelone.requests.clear()
    with pytest.raises(RunFailed, match="delete the rows of table ConnectorCheckpoints") as raised:
        poll_sentinelone()
    assert ACTIVITIES in str(raised.value)
    assert sentinelone.requests == []


def test_a_run_out_of_time_keeps_its_progress_and_the_next_goes_on(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """It stops between pages and is catching up, not failing; in the end all is there once."""
    sentinelone.add(
        "activities",
        ({"id": str(n), "createdAt": ago(seconds=80_000 - n * 9)} for n in range(8_000)),
    )
    statuses = []
    while not statuses or statuses[-1] == CATCHING_UP:
        statuses.append(poll_without_time_left(f"run-{len(statuses)}"))
    assert len(statuses) > 3
    assert arrived(azure_monitor) == Counter(str(n) for n in range(8_000))


def test_a_record_newer_than_its_window_is_no_place_to_go_on_from(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """An object changed since it was found says nothing of how far the walk has come."""
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
    while poll_without_time_left("run") == CATCHING_UP:
        pass
    assert arrived(azure_monitor).keys() == {str(n) for n in range(2_000)}


def poll_without_time_left(run_id: str) -> str:
    """One run whose time to fetch is over after its first page."""
    connection = sentinelone_connector.connect()
    assert connection is not None
    source = next(s for s in connection.sources if s.stream.name == ACTIVITIES)
    key = partition_key("SentinelOne", connection.address)
    checkpoint = StreamCheckpoint(shared.storage.table(TABLE), key, ACTIVITIES, run_id)
    run = StreamRun("SentinelOne", ACTIVITIES, run_id, utc_now())
    delivery = Delivery(destination(read_destination()), DeadLetters())
    lookback = Lookback(timedelta(hours=24), timedelta(minutes=10))
    poll_once = StreamPoll(source, checkpoint, delivery, run, lookback)
    poll_once.run(checkpoint.load(), time.monotonic(), time.monotonic() + 60)
    return run.status


def test_settings_that_are_wrong_fail_before_anything_is_asked(
    sentinelone: SentinelOne, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A destination that cannot work is told before a vendor's quota is spent."""
    monkeypatch.setenv("SentinelOneRuleId", "my-rule")
    with pytest.raises(SettingsError, match="SentinelOneRuleId"):
        poll_sentinelone()
    assert sentinelone.requests == []


def test_a_connector_without_settings_says_so_and_succeeds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its timer ticks all the same, at no cost."""
    caplog.set_level(logging.INFO)
    for name in ("JiraHomeSiteName", "JiraUsername", "JiraAccessToken"):
        monkeypatch.delenv(name)
    assert poll(jira_connector.CONNECTOR) == []
    assert "Jira" in caplog.text


def test_the_budget_is_four_fifths_of_the_hosts_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """From host.json, or from the app setting that overrides it."""
    assert budget_seconds() == pytest.approx(480)
    monkeypatch.setenv("AzureFunctionsJobHost__functionTimeout", "00:30:00")
    assert budget_seconds() == pytest.approx(1440)
    monkeypatch.setenv("AzureFunctionsJobHost__functionTimeout", "half an hour")
    with pytest.raises(SettingsError, match="functionTimeout"):
        budget_seconds()


def test_no_log_line_shows_a_secret_or_a_record(
    sentinelone: SentinelOne, only: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Counts and times only, at every level."""
    caplog.set_level(logging.DEBUG, logger="connectors")
    only("activities")
    sentinelone.add("activities", [{"id": "hush-hush", "createdAt": ago(minutes=1)}])
    poll_sentinelone()
    assert "hush-hush" not in caplog.text
    assert sentinelone.token not in caplog.text
