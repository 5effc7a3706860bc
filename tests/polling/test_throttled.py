"""A vendor that throttles beyond a run's time: the rest waits, of one stream and of any vendor."""

from __future__ import annotations

import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import FOREVER, Fault, answer
from local.vendors.jira import Jira
from local.vendors.sentinelone import SentinelOne
from shared.connectors import jira as jira_connector
from shared.connectors import sentinelone as sentinelone_connector
from shared.polling.run import poll
from tests.app import ask
from tests.connections.consoles import HEALTH
from tests.polling.timers import activities, arrived, poll_sentinelone

pytestmark = pytest.mark.usefixtures("settings_env")


def throttles(seconds: int) -> Fault:
    return answer(429, headers={"Retry-After": str(seconds)})


def test_one_stream_waits_and_the_others_go_on(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream alone that was throttled is not asked for at the next tick."""
    monkeypatch.setenv("SentinelOneStreams", "threats,activities")
    sentinelone.add("activities", activities(range(5), minutes=3))
    sentinelone.faults.add("/threats", throttles(3_600))
    statuses = {name: run.status for name, run in poll_sentinelone().items()}
    assert statuses == {
        "Custom-SentinelOneThreats": "catching up",
        "Custom-SentinelOneActivities": "ok",
    }
    assert sum(arrived(azure_monitor).values()) == 5
    asked = sentinelone.server.count("/threats")
    assert poll_sentinelone()["Custom-SentinelOneThreats"].message.endswith("is not asked before")
    assert sentinelone.server.count("/threats") == asked
    shown = ask("GET", accept="text/html").get_body().decode()
    assert "limit of calls is used up (HTTP 429)" in shown


def test_no_wait_is_longer_than_two_hours(jira: Jira) -> None:
    """Whatever number a header has."""
    jira.faults.add("/auditing/record", throttles(10**9))
    (result,) = poll(jira_connector.CONNECTOR)
    assert result.waits_until
    assert 7_190 <= (result.waits_until - result.started).total_seconds() <= 7_210


def test_a_vendor_that_names_no_time_is_asked_at_the_next_tick(
    jira: Jira, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429 without Retry-After, tried five times: no failure, and no wait."""
    monkeypatch.setattr("shared.source.client._FIRST_WAIT", 0.01)
    jira.faults.add("/auditing/record", answer(429), times=5)
    assert [run.status for run in poll(jira_connector.CONNECTOR)] == ["catching up"]
    assert [run.status for run in poll(jira_connector.CONNECTOR)] == ["ok"]


def test_a_named_connection_says_so_in_its_one_row(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the counts of its other streams."""
    monkeypatch.setenv("SentinelOneStreams", "threats,activities")
    monkeypatch.setenv("SentinelOneUrl__emea", sentinelone.url)
    monkeypatch.setenv("SentinelOneAPIToken__emea", sentinelone.token)
    monkeypatch.delenv("SentinelOneUrl")
    monkeypatch.delenv("SentinelOneAPIToken")
    sentinelone.faults.add("/threats", throttles(3_600), times=FOREVER)
    poll(sentinelone_connector.CONNECTOR, "emea")
    (row,) = azure_monitor.records(HEALTH)
    assert (row["Stream"], row["Status"]) == ("all", "catching up")
    assert "limit of calls is used up" in row["Message"]
