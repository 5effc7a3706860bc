"""Several connections: a tick hands them out, ConnectionPoll polls one a message."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.storage.queue import QueueClient

import shared.azure.storage
from local.azure.logs_ingestion import AzureMonitor
from local.host.host import Host
from local.loopback.faults import FOREVER, answer, reset
from local.vendors.sentinelone import SentinelOne
from shared.connectors.sentinelone import CONNECTOR
from shared.errors import RunFailed, SettingsError
from shared.polling import handing_out
from shared.polling.handed_out import Taken, poll_handed_out, superseded
from shared.polling.handing_out import QUEUE, PollMessage, hand_out, tick
from shared.source import client
from shared.state.lease import CONTAINER, LastPoll, Leases, held_lease, read_leases
from tests.connections.consoles import HEALTH, Consoles, activity, arrived

AT = datetime(2026, 11, 28, 12, 0, 5, tzinfo=UTC)
POLL = "ConnectionPoll"


@pytest.fixture
def host(consoles: Consoles) -> Host:
    """The app in the local host, whose queues a test polls by hand."""
    return Host()


def queue(name: str = QUEUE) -> QueueClient:
    return shared.azure.storage.queue(name)


def waiting(name: str = QUEUE) -> list[dict[str, Any]]:
    """The messages of a queue that exists, visible ones and others."""
    if not _exists(name):
        return []
    return [json.loads(message.content) for message in queue(name).peek_messages(32)]


def _exists(name: str) -> bool:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return queue(name).get_queue_properties() is not None
    except ResourceNotFoundError:
        return False


def lines(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """The dimensions of each line of an event."""
    found = [r.message.partition(" ") for r in caplog.records if r.name.startswith("connectors")]
    return [json.loads(details) for name, _, details in found if name == event]


def test_one_connection_is_polled_by_the_tick_itself(
    host: Host, sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """As before there were others: no queue, no message."""
    sentinelone.add("activities", [activity(1)])
    assert host.tick("SentinelOneTimer").ok
    assert arrived(azure_monitor) == {("", "1"): 1}
    assert not _exists(QUEUE)


def test_one_named_connection_is_polled_by_the_tick_itself(
    host: Host,
    consoles: Consoles,
    azure_monitor: AzureMonitor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Alone too, though it has a name."""
    consoles.add("emea", activities=range(2))
    for name in ("SentinelOneUrl", "SentinelOneAPIToken"):
        monkeypatch.delenv(name)
    assert host.tick("SentinelOneTimer").ok
    assert arrived(azure_monitor) == {("emea", "0"): 1, ("emea", "1"): 1}
    assert not _exists(QUEUE)


def test_several_are_handed_out_and_polled_once_each(
    host: Host, consoles: Consoles, sentinelone: SentinelOne, azure_monitor: AzureMonitor
) -> None:
    """The tick polls none; two ticks that pile up are one poll."""
    sentinelone.add("activities", [activity(7)])
    for name in ("emea", "apac"):
        consoles.add(name, activities=range(2))
    assert host.tick("SentinelOneTimer").ok
    assert arrived(azure_monitor) == Counter()
    assert waiting() == [
        {"connector": "SentinelOne", "connection": name} for name in ("", "apac", "emea")
    ]
    (first, *_) = queue().peek_messages()
    assert first.expires_on
    assert first.inserted_on
    assert first.expires_on - first.inserted_on == timedelta(hours=1)
    host.tick("SentinelOneTimer")
    assert poll_all(host) == []
    assert sentinelone.server.count("activities") == 1
    assert arrived(azure_monitor) == {
        ("", "7"): 1,
        **{(name, str(number)): 1 for name in ("emea", "apac") for number in range(2)},
    }
    assert {row["Status"] for row in azure_monitor.records(HEALTH)} == {"ok"}


def test_the_one_whose_last_poll_began_longest_ago_comes_first(
    consoles: Consoles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a queue is too long for its tick, the rest is at the head of the next one."""
    began = {"SentinelOne": AT, "SentinelOne__apac": AT - timedelta(hours=1)}
    polls = {key: LastPoll(began=moment) for key, moment in began.items()}
    leases = Leases(AT, polls, frozenset(), {})
    monkeypatch.setattr(handing_out, "read_leases", lambda: leases)
    hand_out(CONNECTOR, ["", "apac", "emea"])
    assert [message["connection"] for message in waiting()] == ["emea", "apac", ""]


@pytest.mark.parametrize(
    ("began", "message", "dropped"),
    [
        (AT + timedelta(seconds=1), "another", True),
        (AT, "another", False),
        (AT, "this", True),
        (AT - timedelta(seconds=1), "another", False),
        (AT - timedelta(hours=1), "this", True),
        (None, "", False),
    ],
)
def test_a_poll_that_began_after_a_message_supersedes_it(
    began: datetime | None, message: str, *, dropped: bool
) -> None:
    """Within one second of Storage's clock the message's own id decides."""
    taken = Taken("", "this", AT, 1, 0.0)
    assert superseded(LastPoll(began=began, message=message), taken) == dropped


def test_a_failing_poll_fails_its_invocation_once(
    host: Host,
    consoles: Consoles,
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its message is shown again and dropped: nothing reaches the poison queue."""
    caplog.set_level(logging.INFO)
    emea = consoles.add("emea")
    emea.faults.add("/activities", answer(401), times=FOREVER)
    tick(CONNECTOR)
    failed = poll_all(host)
    assert [type(error) for error in failed] == [RunFailed]
    assert lines(caplog, "poll_dropped") == [{"Connector": "SentinelOne", "Connection": "emea"}]
    assert waiting() == []
    assert not _exists(f"{QUEUE}-poison")
    rows = [row for row in azure_monitor.records(HEALTH) if row.get("Connection") == "emea"]
    assert [row["Status"] for row in rows] == ["failing", "failing"]  # the sum and the stream


def test_what_fails_before_the_lease_is_left_to_the_next_tick(
    consoles: Consoles, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Before the host calls its message poison, which nobody would read."""
    consoles.add("emea")
    monkeypatch.setenv("AzureWebJobsStorage", "nothing of an account")
    shared.azure.storage.forget_clients()
    text = '{"connector": "SentinelOne", "connection": "emea"}'
    with pytest.raises(SettingsError):
        poll_handed_out(Taken(text, "this", AT, 3, 0.0))
    poll_handed_out(Taken(text, "this", AT, 4, 0.0))
    assert "left to the next tick" in caplog.text


def poll_all(host: Host) -> list[Exception]:
    """Poll the queue until it is empty, with failed messages visible at once; give the errors."""
    errors: list[Exception] = []
    trigger = host.queues[POLL]
    invoke = trigger.function.entry_point

    async def watched(message: Any) -> None:
        try:
            await invoke(message)
        except Exception as error:
            errors.append(error)
            raise

    trigger.function = replace(trigger.function, entry_point=watched)
    trigger.options = replace(trigger.options, visibility_seconds=0)
    while trigger.poll():
        continue
    return errors


def test_a_message_lost_between_queue_and_lease_is_polled_when_shown_again(
    host: Host, consoles: Consoles, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing began, so nothing supersedes it."""
    consoles.add("emea", activities=range(2))
    tick(CONNECTOR)
    taken = list(queue().receive_messages(messages_per_page=32, visibility_timeout=1))
    assert len(taken) == 2  # taken by a process that died before it asked for a lease
    for message in taken:
        queue().update_message(message, visibility_timeout=0)
    assert host.poll(POLL) == 2
    assert arrived(azure_monitor) == {("emea", "0"): 1, ("emea", "1"): 1}


def test_a_connection_that_another_run_holds_is_left_to_it(
    host: Host,
    consoles: Consoles,
    azure_monitor: AzureMonitor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At info; the message is done with."""
    caplog.set_level(logging.INFO)
    consoles.add("emea", activities=range(2))
    tick(CONNECTOR)
    with held_lease("SentinelOne", "emea"):
        assert poll_all(host) == []
    assert arrived(azure_monitor) == Counter()
    assert lines(caplog, "connection_held") == [{"Connector": "SentinelOne", "Connection": "emea"}]
    assert waiting() == []


def test_a_message_for_a_connection_that_is_gone_is_told_and_dropped(
    host: Host, consoles: Consoles, caplog: pytest.LogCaptureFixture
) -> None:
    """Its settings were taken away while it waited."""
    consoles.add("emea")
    consoles.add("apac")
    tick(CONNECTOR)
    consoles.remove("emea")
    for strange in (PollMessage("Nobody", "x").text(), "no JSON", '{"connector": 1}'):
        queue().send_message(strange)
    assert poll_all(host) == []
    told = {(line["Connector"], line["Connection"]) for line in lines(caplog, "connection_unknown")}
    assert told == {("SentinelOne", "emea"), ("Nobody", "x")}
    assert waiting() == []


def test_one_connections_wrong_settings_fail_it_alone(
    host: Host,
    consoles: Consoles,
    azure_monitor: AzureMonitor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By its settings' own names, with a health row; once, then it waits for the next tick."""
    consoles.add("emea", activities=range(2))
    monkeypatch.setenv("SentinelOneUrl__apac", "https://apac.example.net")
    tick(CONNECTOR)
    errors = poll_all(host)
    assert [str(error) for error in errors] == ["SentinelOneAPIToken__apac is not set"]
    assert arrived(azure_monitor) == {("emea", "0"): 1, ("emea", "1"): 1}
    (row,) = [row for row in azure_monitor.records(HEALTH) if row.get("Connection") == "apac"]
    assert (row["Status"], row["ErrorClass"]) == ("failing", "SettingsError")
    assert read_leases().polls["SentinelOne__apac"].outcome == "failing"


def test_a_name_that_is_none_fails_the_tick_after_all_others(
    host: Host,
    consoles: Consoles,
    azure_monitor: AzureMonitor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is named by its setting, and stops nobody."""
    consoles.add("emea", activities=range(2))
    monkeypatch.setenv("SentinelOneUrl__em_ea", "https://apac.example.net")
    with pytest.raises(SettingsError, match=r"^SentinelOneUrl__em_ea: 'em_ea' is no name"):
        tick(CONNECTOR)
    assert poll_all(host) == []
    assert arrived(azure_monitor) == {("emea", "0"): 1, ("emea", "1"): 1}
    assert len(lines(caplog, "connection_misconfigured")) == 1


def test_a_silent_console_ends_early_and_is_put_off(
    host: Host, consoles: Consoles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Handed out less and less often until it answers; one that answers badly is not put off."""
    monkeypatch.setattr(client, "SILENCE_SECONDS", 0.5)
    emea, apac = consoles.add("emea"), consoles.add("apac")
    emea.faults.add("/", reset(), times=FOREVER)
    apac.faults.add("/", answer(503), times=5)
    for due in (True, True, False):
        tick(CONNECTOR)
        handed = {message["connection"] for message in waiting()}
        assert handed == {"", "apac"} | ({"emea"} if due else set())
        poll_all(host)
    assert read_leases().polls["SentinelOne__emea"].silent == 2
    assert read_leases().polls["SentinelOne__apac"].silent == 0
    emea.faults.clear()
    make_due("SentinelOne__emea")
    tick(CONNECTOR)
    assert poll_all(host) == []
    assert read_leases().polls["SentinelOne__emea"].due is None


def make_due(name: str) -> None:
    """Let the time pass for which a connection is put off."""
    blob = shared.azure.storage.container(CONTAINER).get_blob_client(name)
    told = blob.get_blob_properties().metadata
    blob.set_blob_metadata({**told, "due": "2026-01-01T00:00:00Z"})
