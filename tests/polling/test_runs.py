"""A timer's run, end to end: a vendor over HTTP, Azurite, and Azure Monitor over TLS."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.data.tables import TableClient

from local.azure.azurite import Azurite
from local.azure.logs_ingestion import AzureMonitor
from local.vendors.jira import Jira
from local.vendors.sentinelone import SentinelOne
from shared.connectors import jira as jira_connector
from shared.connectors import sentinelone as sentinelone_connector
from shared.errors import RunFailed, SettingsError, StorageUnavailable
from shared.polling.budget import budget_seconds
from shared.polling.run import poll
from shared.records.timestamps import utc_now
from shared.state.checkpoint import TABLE, partition_key
from tests.connectors.makers import record_of
from tests.polling.timers import (
    ACTIVITIES,
    activities,
    ago,
    arrived,
    poll_sentinelone,
)

pytestmark = pytest.mark.usefixtures("settings_env")


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
    """The next run finds a record that appears within the overlap after its time was polled."""
    only("activities")
    sentinelone.add("activities", activities(range(5), minutes=1))
    poll_sentinelone()
    sentinelone.add("activities", activities(range(5, 8), minutes=9))
    runs = poll_sentinelone()
    assert arrived(azure_monitor) == Counter(str(n) for n in range(8))
    assert runs[ACTIVITIES].records == 3
    assert runs[ACTIVITIES].repeats == 5


def test_a_longer_overlap_repeats_nothing(
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    only: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It reaches back before what fingerprints are kept of; from then on it grows."""
    only("activities")
    monkeypatch.setenv("OverlapMinutes", "1")
    sentinelone.add("activities", ({"id": str(n), "createdAt": ago(hours=n)} for n in range(20)))
    poll_sentinelone()
    monkeypatch.setenv("OverlapMinutes", "1440")
    for _ in range(2):
        poll_sentinelone()
    sentinelone.add("activities", [{"id": "late", "createdAt": ago(seconds=30)}])
    poll_sentinelone()
    assert arrived(azure_monitor) == Counter([*map(str, range(20)), "late"])


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
    """Also when it changes back: compare with the last state sent, not with every earlier one."""
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
    """Without new records, a stream costs one request and one write."""
    only("threats,activities,devicecontrol")
    poll_sentinelone()
    before = {row["RowKey"]: row["written"] for row in checkpoint_rows(storage)}
    sentinelone.requests.clear()
    poll_sentinelone()
    assert len(sentinelone.requests) == 3
    after = {row["RowKey"]: row["written"] for row in checkpoint_rows(storage)}
    assert after.keys() == before.keys()
    assert all(written.endswith("-1") for written in after.values())


def test_what_arrives_last_is_written_down_with_the_windows_end(
    azure_monitor: AzureMonitor, sentinelone: SentinelOne, storage: str, only: Callable[[str], None]
) -> None:
    """A run whose records fit a batch is one upload and one write."""
    only("activities")
    sentinelone.add("activities", [{"id": str(n), "createdAt": ago(hours=1)} for n in range(3)])
    poll_sentinelone()
    (row,) = checkpoint_rows(storage)
    assert row["written"].endswith("-1")
    poll_sentinelone()
    names = Counter(("0", "1", "2"))
    assert arrived(azure_monitor, "Custom-SentinelOneActivities") == names


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
    """Never restart silently from now: that would lose the records in between."""
    only("activities")
    poll_sentinelone()
    change_row(storage, ACTIVITIES, **nonsense)
    sentinelone.requests.clear()
    with pytest.raises(RunFailed, match="tools reset-stream SentinelOne") as raised:
        poll_sentinelone()
    assert ACTIVITIES in str(raised.value)
    assert sentinelone.requests == []


def test_settings_that_are_wrong_fail_before_anything_is_asked(
    sentinelone: SentinelOne, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Report an unusable destination before a vendor's quota is spent."""
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
