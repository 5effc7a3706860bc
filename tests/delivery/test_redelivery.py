"""DeliveryRetry over many messages: rounds, circuit breakers, full uploads, destinations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import azure.functions.queue as functions_queue
import orjson
import pytest

import DeliveryRetry
from local.azure.logs_ingestion import AzureMonitor
from local.host.host import Host
from local.loopback.faults import FOREVER, answer, delay
from shared.azure import storage as clients
from shared.delivery import backlog
from shared.delivery.batch import Batch, compress
from shared.delivery.destinations import spool_destination
from shared.delivery.groups import ShownMessage, SpooledMessage, UploadGroups
from shared.delivery.redelivery import Redelivered, deliver_message
from shared.delivery.sink import Sink, sink_of
from shared.delivery.spool import QUEUE, Message, Spool
from shared.errors import DestinationUnavailable, UnknownConnection
from tests.delivery.test_spool import Clock, Impatient, take_messages, uuids
from tests.webhook.posts import dead_letters

STREAM = "Custom-OneLogin"
BUSY = answer(503)


def records(count: int, start: int = 0) -> list[bytes]:
    return [orjson.dumps({"uuid": str(number)}) for number in range(start, start + count)]


def spool_posts(posts: int, events: int = 10) -> list[str]:
    """Spool as many posts; return the uuids of their events."""
    for number in range(posts):
        Spool().put(STREAM, records(events, number * events))
    return [str(number) for number in range(posts * events)]


def shown() -> str:
    """Receive and delete one message, as the host does."""
    queue = clients.queue(QUEUE)
    message = next(iter(queue.receive_messages(max_messages=1)))
    queue.delete_message(message)
    return str(message.content)


def redeliver(clock: Clock | None = None) -> Redelivered:
    return deliver_message(shown(), sink_of, clock=clock or Clock())


def uploads(monitor: AzureMonitor) -> int:
    return monitor.server.count("/streams/")


def test_one_invocation_works_off_an_outage(azure_monitor: AzureMonitor, storage: str) -> None:
    """Eighty posts arrive once each, in two uploads: the message shown, then all others."""
    expected = spool_posts(80)
    done = redeliver()
    assert sorted(uuids(azure_monitor)) == sorted(expected)
    assert done.total.requests == uploads(azure_monitor) == 2
    assert Spool().depth() == 0


def test_what_was_spooled_for_the_data_collector_loses_no_field(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """The settings may move to the Logs Ingestion API, which drops fields that are not declared."""
    spooled = {"uuid": "1", "Connection": "emea", "brand_new": [1], "AdditionalFields": {"a": 2}}
    Spool().put(STREAM, [orjson.dumps(spooled), *records(1)])
    redeliver()
    odd, usual = azure_monitor.records(STREAM)
    told = {"Connection": "emea", "brand_new": [1], "a": 2}
    assert odd == {"uuid": "1", "AdditionalFields": told}
    assert usual == {"uuid": "0"}


def test_uploads_are_filled_up_to_a_megabyte(azure_monitor: AzureMonitor, storage: str) -> None:
    """Messages taken along share uploads of at most 1 MB, filled to more than half."""
    for number in range(40):
        Spool().put(STREAM, [orjson.dumps({"uuid": str(number), "notes": "n" * 90_000})])
    redeliver()
    assert sorted(uuids(azure_monitor), key=int) == [str(number) for number in range(40)]
    assert uploads(azure_monitor) == 5  # the message shown, and 3.5 MB in four


def test_while_a_destination_is_down_others_go_back_unseen(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """Twenty messages within a minute of an outage cost one request, and one a minute later."""
    azure_monitor.faults.add("/streams/", BUSY, times=FOREVER)
    clock = Clock()
    spool_posts(20)
    for _ in range(20):
        redeliver(clock)
    assert uploads(azure_monitor) == 1
    assert Spool().depth() == 20
    for _ in range(2):
        clock.now += 60
        text = Message(STREAM, gzip=compress(b'{"uuid":"x"}')).text()
        deliver_message(text, sink_of, clock=clock)
        deliver_message(text, sink_of, clock=clock)
    assert uploads(azure_monitor) == 3


def test_a_failure_half_way_puts_back_what_did_not_arrive(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """Messages taken along go back to the queue whole, and arrive once later."""
    azure_monitor.faults.add("/streams/", delay(0), BUSY)
    spool, clock = Spool(Impatient(storage)), Clock()
    expected = spool_posts(30)
    deliver_message(shown(), sink_of, spool=spool, clock=clock)
    assert len(uuids(azure_monitor)) == 10
    assert spool.depth() == 29
    clock.now += 60
    deliver_message(shown(), sink_of, spool=spool, clock=clock)
    assert sorted(uuids(azure_monitor)) == sorted(expected)
    assert uploads(azure_monitor) == 4


def test_a_bad_event_among_those_taken_along_stops_nothing(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """50 of 600 spooled events are refused: 550 arrive, 50 are dead letters."""
    bad = {str(number) for number in range(0, 600, 12)}
    azure_monitor.refuse = lambda _, record: "bad" if record["uuid"] in bad else None
    expected = set(spool_posts(60)) - bad
    redeliver()
    assert sorted(uuids(azure_monitor)) == sorted(expected)
    assert {letter["record"]["uuid"] for letter in dead_letters()} == bad
    assert Spool().depth() == 0


def test_bad_events_alone_are_set_aside(azure_monitor: AzureMonitor, storage: str) -> None:
    """A message of three events that are all refused does not circle: they are dead letters."""
    azure_monitor.refuse = lambda _stream, _record: "bad"
    spool_posts(1, events=3)
    redeliver()
    assert len(list(dead_letters())) == 3
    assert Spool().depth() == 0


def test_a_wrong_rule_leaves_the_spool_as_it_is(azure_monitor: AzureMonitor, storage: str) -> None:
    """A rule that refuses everything costs tens of requests; after its mending all arrive."""
    azure_monitor.refuse = lambda _stream, _record: "bad"
    clock = Clock()
    expected = spool_posts(50)
    for _ in range(50):
        redeliver(clock)
    assert list(dead_letters()) == []
    assert Spool().depth() == 50
    assert uploads(azure_monitor) < 40
    azure_monitor.refuse = None
    clock.now += 300
    for text in _hidden_messages():
        deliver_message(text, sink_of, clock=clock)
    assert sorted(uuids(azure_monitor)) == sorted(expected)


def _hidden_messages() -> list[str]:
    """Messages that were put back with a delay: the emulator's clock cannot be moved."""
    queue = clients.queue(QUEUE)
    queue.clear_messages()
    return [Message(STREAM, 1, gzip=compress(b"\n".join(records(500)))).text()]


def test_events_that_blame_the_rule_for_a_day_are_set_aside(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """A message whose twelve events are all refused ends as dead letters, after 96 tries."""
    azure_monitor.refuse = lambda _stream, _record: "bad"
    message = Message(STREAM, gzip=compress(b"\n".join(records(12))), refusals=94)
    clock = Clock()
    deliver_message(message.text(), sink_of, clock=clock)
    assert list(dead_letters()) == []
    clock.now += 300
    deliver_message(replace(message, refusals=95).text(), sink_of, clock=clock)
    assert len(list(dead_letters())) == 12
    assert Spool().depth() == 1  # what the first try put back


def test_a_message_that_ends_its_worker_is_a_dead_letter_after_three_rounds(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """Nothing of it is read from its fourth sight on; it never reaches the poison queue."""
    text = Message(STREAM, gzip=b"no gzip").text()
    for number in range(3):
        assert deliver_message(text, sink_of, times_shown=4).total.requests == 0
        (text,) = take_messages()
        assert json.loads(text)["rounds"] == number + 1
        assert list(dead_letters()) == []
    deliver_message(text, sink_of, times_shown=4)
    assert take_messages() == []
    (letter,) = dead_letters()
    assert letter["stream"] == QUEUE
    assert "without a result" in letter["message"]
    assert Message.read(orjson.dumps(letter["record"])).gzip == b"no gzip"
    assert uploads(azure_monitor) == 0


def test_the_function_counts_how_often_a_message_is_shown(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """The host's dequeue count decides, in the function's own signature."""
    text = Message(STREAM, gzip=compress(b'{"uuid":"1"}')).text().encode()
    message = functions_queue.QueueMessage(  # type: ignore[no-untyped-call]  # Microsoft's
        id="1", body=text, dequeue_count=4
    )
    DeliveryRetry.main(message)
    assert uuids(azure_monitor) == []
    (back,) = take_messages()
    assert json.loads(back)["rounds"] == 1


def test_nothing_ends_in_the_poison_queue(
    azure_monitor: AzureMonitor, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message whose every try ends the function goes round in the host, then is set aside."""

    def die(self: Spool, message: Message) -> list[bytes]:
        raise MemoryError

    monkeypatch.setattr(Spool, "records", die)
    spool_posts(1)
    shows = 0
    with Host() as host:
        trigger = host.queues["DeliveryRetry"]
        trigger.options = replace(trigger.options, visibility_seconds=0)
        while host.poll("DeliveryRetry"):
            shows += 1
            assert shows < 50
    assert shows == 16  # three tries and the fourth sight, four times
    assert len(list(dead_letters())) == 1
    assert Spool().poisoned() == 0


def test_a_message_shown_before_is_not_merged(azure_monitor: AzureMonitor, storage: str) -> None:
    """A message that may have ended its process is delivered alone, after the others."""
    spool_posts(5)
    queue = clients.queue(QUEUE)
    before = next(iter(queue.receive_messages(max_messages=1, visibility_timeout=1)))
    queue.update_message(before, visibility_timeout=0)
    Spool().put(STREAM, records(1, 100))
    deliver_message(Message(STREAM, gzip=compress(b'{"uuid":"first"}')).text(), sink_of)
    assert len(uuids(azure_monitor)) == 52
    assert uploads(azure_monitor) == 3
    assert uuids(azure_monitor)[-10:] == [str(number) for number in range(10)]


def test_a_connection_that_is_gone_waits_and_is_told(
    azure_monitor: AzureMonitor, storage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Records of a connection without settings go nowhere else; those of others arrive."""
    Spool().put(STREAM, records(1, 7), connection="emea")
    Spool().put(STREAM, records(1, 8))
    for _ in range(2):
        redeliver()
    assert uuids(azure_monitor) == ["8"]
    assert Spool().depth() == 1
    assert "UnknownConnection" in caplog.text
    assert "emea" in caplog.text


def test_each_connections_records_go_to_its_sink(azure_monitor: AzureMonitor, storage: str) -> None:
    """An outage of one destination holds up no other, and dead letters carry the connection."""
    azure_monitor.refuse = lambda _, record: "bad" if record["uuid"] == "1" else None
    own: dict[str, list[str]] = {"": [], "emea": []}

    def sink(connection: str) -> Sink:
        if connection == "apac":
            raise UnknownConnection(connection)
        own[connection].append(connection)
        return sink_of("")

    for connection in ("apac", "emea", ""):
        Spool().put(STREAM, records(2), connection=connection)
    for _ in range(2):
        if Spool().depth() > 1:
            deliver_message(shown(), sink)
    assert uuids(azure_monitor) == ["0", "0"]
    assert sorted(letter.get("connection", "") for letter in dead_letters()) == ["", "emea"]
    assert all(own.values())


def test_messages_of_many_destinations_hold_bounded_memory(azure_monitor: AzureMonitor) -> None:
    """Of 60 connections' groups that nearly fill an upload, few wait at a time."""
    waiting: list[int] = []
    delivered: list[str] = []

    def deliver(group: Sequence[SpooledMessage]) -> bool:
        delivered.extend(each.message.connection for each in group)
        return True

    groups = UploadGroups(deliver)
    for number in range(60):
        message = Message(STREAM, connection=str(number))
        sink = sink_of("")
        groups.add(
            SpooledMessage(
                ShownMessage(b"", 1),
                message,
                [b"n" * 900_000],
                sink,
                spool_destination(sink, STREAM),
            )
        )
        waiting.append(number + 1 - len(delivered))
    groups.flush()
    assert max(waiting) <= 18
    assert sorted(delivered, key=int) == [str(number) for number in range(60)]


class Hanging:
    """A sink that answers nothing within 29 seconds of the clock."""

    name = "Logs Ingestion API"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.declared = sink_of("").declared

    def upload(self, batch: Batch, timeout: float) -> int:
        self._clock.now += 29
        raise DestinationUnavailable(f"No answer to {len(batch.records)} in {timeout} s")

    def renew_sign_in(self) -> None:
        raise AssertionError

    def close(self) -> None:
        """Nothing is open."""


def test_many_destinations_that_hang_keep_no_message_beyond_its_time(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """Taken along, messages are invisible for 300 s: the last ones go back before, unseen."""
    clock, spool = Clock(), Spool(Impatient(storage))
    hanging: dict[str, Sink] = {str(number): Hanging(clock) for number in range(14)}
    spool_posts(1)
    for connection in hanging:
        spool.put(STREAM, records(1), connection=connection)
    sinks = {**hanging, "": sink_of("")}
    deliver_message(shown(), sinks.__getitem__, spool=spool, clock=clock)
    assert clock.now < 240
    assert len(uuids(azure_monitor)) == 10
    waiting = [Message.read(text) for text in take_messages()]
    assert sorted(message.connection for message in waiting) == sorted(hanging)
    assert {message.tries for message in waiting} == {1}


def test_an_older_versions_message_is_read(azure_monitor: AzureMonitor, storage: str) -> None:
    """A message as it was written before messages had a connection arrives."""
    content = Message(STREAM, gzip=compress(b'{"uuid":"1"}')).text()
    assert set(json.loads(content)) == {"stream", "tries", "gzip"}
    deliver_message(content, sink_of)
    assert uuids(azure_monitor) == ["1"]


def test_a_stream_that_no_version_knows_is_set_aside(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """It would circle for ever: its message is a dead letter, once, and the function succeeds."""
    text = Message("Custom-Other", gzip=compress(b"{}")).text()
    DeliveryRetry.main(functions_queue.QueueMessage(id="1", body=text.encode()))  # type: ignore[no-untyped-call]
    (letter,) = dead_letters()
    assert letter["message"] == (
        "A message of the queue delivery-retry cannot be read: this version has no stream "
        "Custom-Other"
    )
    assert Spool().depth() == 0


def test_a_fault_while_taking_along_repeats_nothing(
    azure_monitor: AzureMonitor, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message that the host shows is delivered: the function must not fail after that."""

    def fail(self: Spool) -> list[object]:
        raise RuntimeError("a fault of the program")

    monkeypatch.setattr(Spool, "take", fail)
    spool_posts(2)
    redeliver()
    assert len(uuids(azure_monitor)) == 10
    assert Spool().depth() == 1


def test_waiting_messages_are_counted_by_connection(storage: str) -> None:
    """The page tells which connection's events wait."""
    Spool().put(STREAM, records(1), connection="emea")
    Spool().put(STREAM, records(1))
    assert dict(backlog.spool_queue().causes) == {
        "events of Custom-OneLogin of connection emea": 1,
        "events of Custom-OneLogin": 1,
    }
