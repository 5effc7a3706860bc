"""A poll of a named connection: whose a record is, its checkpoint, its health rows."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import answer
from local.vendors.sentinelone import SentinelOne
from shared.connectors.sentinelone import CONNECTOR
from shared.errors import RunFailed
from shared.polling.run import poll
from shared.state.lease import read_leases
from tests.connections.consoles import HEALTH, Consoles, activity, arrived, partitions


def test_a_record_says_whose_it_is(
    consoles: Consoles, sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """By AdditionalFields.Connection; those of the connection without a name say nothing."""
    sentinelone.add("activities", [activity(number) for number in range(3)])
    consoles.add("emea", activities=range(2, 5))
    poll(CONNECTOR)
    poll(CONNECTOR, "emea")
    named = {("emea", str(number)): 1 for number in range(2, 5)}
    assert arrived(azure_monitor) == {("", str(number)): 1 for number in range(3)} | named
    poll(CONNECTOR, "emea")
    assert sum(arrived(azure_monitor).values()) == 6


def test_a_field_of_that_name_cannot_say_whose_a_record_is(
    consoles: Consoles, sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """It is kept under another name, with a connection's name and without."""
    sentinelone.add("activities", [activity(1) | {"Connection": "emea"}])
    console = consoles.add("emea")
    console.add("activities", [activity(2) | {"Connection": "", "odd": 1}])
    poll(CONNECTOR)
    poll(CONNECTOR, "emea")
    assert arrived(azure_monitor) == {("", "1"): 1, ("emea", "2"): 1}
    kept = [r["AdditionalFields"] for r in azure_monitor.records("Custom-SentinelOneActivities")]
    assert [each["_Connection"] for each in kept] == ["emea", ""]


def test_each_connection_has_its_own_checkpoints_and_lease(
    consoles: Consoles, sentinelone: SentinelOne
) -> None:
    """The one without a name has those that it had before there were others."""
    host = urlsplit(sentinelone.url).netloc
    poll(CONNECTOR)
    assert partitions() == {f"SentinelOne:{host}"}
    emea = consoles.add("emea", activities=range(3))
    poll(CONNECTOR, "emea")
    emea_host = urlsplit(emea.url).netloc
    assert partitions() == {f"SentinelOne:{host}", f"SentinelOne__emea:{emea_host}"}
    assert read_leases().polls.keys() == {"SentinelOne", "SentinelOne__emea"}


def test_two_connections_may_share_an_address(
    consoles: Consoles,
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With different tokens: two scopes of one console, each with its own progress."""
    other = "another-token-of-this-console"
    monkeypatch.setenv("SentinelOneUrl__part", sentinelone.url)
    monkeypatch.setenv("SentinelOneAPIToken__part", other)
    sentinelone.add("activities", [activity(1)])
    poll(CONNECTOR)
    sentinelone.token = other
    poll(CONNECTOR, "part")
    assert arrived(azure_monitor) == {("", "1"): 1, ("part", "1"): 1}


def test_a_named_connection_posts_one_row_a_run(
    consoles: Consoles, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its streams summed; the one without a name posts a row a stream, without the column."""
    monkeypatch.setenv("SentinelOneStreams", "activities,agents,threats")
    consoles.add("emea", activities=range(7))
    poll(CONNECTOR, "emea")
    (row,) = azure_monitor.records(HEALTH)
    assert (row["Connection"], row["Stream"], row["Status"]) == ("emea", "all", "ok")
    assert row["Records"] == 7
    assert row["Requests"] >= 3
    poll(CONNECTOR)
    rest = azure_monitor.records(HEALTH)[1:]
    assert len(rest) == 3
    assert not any("Connection" in row for row in rest)


def test_each_stream_that_fails_has_a_row_beside_the_sum(
    consoles: Consoles, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum has the worst status, the stream's own row the cause, by its own setting."""
    monkeypatch.setenv("SentinelOneStreams", "activities,agents,threats")
    emea = consoles.add("emea", activities=range(7))
    emea.faults.add("/threats", answer(403))
    with pytest.raises(RunFailed):
        poll(CONNECTOR, "emea")
    total, failed = azure_monitor.records(HEALTH)
    assert (total["Stream"], total["Status"], total["Records"]) == ("all", "failing", 7)
    assert (failed["Stream"], failed["Status"]) == ("Custom-SentinelOneThreats", "failing")
    assert failed["Connection"] == "emea"
    assert "SentinelOneAPIToken__emea" in failed["Message"]
