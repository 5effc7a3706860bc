"""Redrive past what stands in front, by destination, and at a cost bounded by what it sends."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import FOREVER, answer
from shared.delivery import redrive as redriving
from shared.delivery.batch import compress
from shared.delivery.dead_letter_blobs import listed
from shared.delivery.dead_letters import DeadLetters, Refused
from shared.delivery.redelivery import deliver_message
from shared.delivery.redrive import DEAD_LETTERS, redrive
from shared.delivery.sink import Sink, sink_of
from shared.delivery.spool import QUEUE, Message, Spool
from shared.errors import UnknownConnection
from tests.delivery.test_spool import take_messages

STREAM = "Custom-JiraAudit"
OTHER = "Custom-OneLogin"


def refused(*numbers: int) -> list[Refused]:
    return [Refused(orjson.dumps({"id": n}), 400, "InvalidRecord: no") for n in numbers]


def ids(monitor: AzureMonitor, stream: str = STREAM) -> list[int]:
    return sorted(record["id"] for record in monitor.records(stream))


def uploads(monitor: AzureMonitor) -> int:
    return monitor.server.count("/streams/")


def refuse_from(number: int) -> Any:
    """Azure Monitor still refuses these records and all after them."""
    return lambda _stream, record: "InvalidRecord: no" if record["id"] >= number else None


def test_mended_records_behind_refused_ones_arrive(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """Behind 20 blobs of 100 that are refused again one of 10 arrives, for some 130 uploads."""
    for start in range(1000, 3000, 100):
        DeadLetters().put(STREAM, refused(*range(start, start + 100)))
    DeadLetters().put(OTHER, refused(*range(10)))
    azure_monitor.refuse = refuse_from(1000)
    report = redrive(DEAD_LETTERS)
    assert ids(azure_monitor, OTHER) == list(range(10))
    assert (report.sent, report.left) == (10, 2000)
    assert "Azure Monitor refuses them again" in report.message
    assert uploads(azure_monitor) < 160


def test_refused_blobs_cost_less_than_their_records(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """2,000 records in a blob that are all refused again cost some twenty uploads."""
    DeadLetters().put(STREAM, refused(*range(2000)))
    azure_monitor.refuse = refuse_from(0)
    report = redrive(DEAD_LETTERS)
    assert (report.sent, report.left) == (0, 2000)
    assert uploads(azure_monitor) < 50


def test_good_records_behind_refused_ones_of_a_blob_arrive(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """The good half of a blob arrives, although as many refused records stand in front."""
    DeadLetters().put(STREAM, refused(*range(1000, 1300), *range(300)))
    azure_monitor.refuse = refuse_from(1000)
    for _ in range(3):
        redrive(DEAD_LETTERS)
    assert ids(azure_monitor) == list(range(300))


def test_the_next_redrive_begins_where_this_one_ended(
    azure_monitor: AzureMonitor, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a budget of three uploads in vain each of nine blobs has its turn in three redrives."""
    monkeypatch.setattr(redriving, "_UPLOADS_IN_VAIN", 3)
    azure_monitor.refuse = refuse_from(1000)
    for number in range(8):
        DeadLetters().put(STREAM, refused(*range(1000 + number * 30, 1030 + number * 30)))
    DeadLetters().put(STREAM, refused(7))
    reports = [redrive(DEAD_LETTERS) for _ in range(3)]
    assert ids(azure_monitor) == [7]
    assert "too many others were refused again" in reports[0].message
    assert reports[-1].left == 240


def test_one_destination_that_is_down_holds_up_no_other(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """A missing role leaves its stream's records with that reason; others arrive."""
    for number in range(3):
        DeadLetters().put(OTHER, refused(number))
        DeadLetters().put(STREAM, refused(number))
    azure_monitor.faults.add(f"/{STREAM}", answer(403), times=FOREVER)
    report = redrive(DEAD_LETTERS)
    assert ids(azure_monitor, OTHER) == [0, 1, 2]
    assert (report.sent, report.left) == (3, 3)
    assert "Monitoring Metrics Publisher" in report.message
    assert azure_monitor.server.count(f"/{STREAM}") == 1


def test_each_connections_dead_letters_go_to_its_sink(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """Dead letters of a connection that is gone stay, and say so; those of others arrive."""
    asked: list[str] = []

    def sinks(connection: str) -> Sink:
        asked.append(connection)
        if connection == "gone":
            raise UnknownConnection(connection)
        return sink_of("")

    DeadLetters().put(STREAM, refused(1), "gone")
    DeadLetters().put(STREAM, refused(2), "emea")
    DeadLetters().put(STREAM, refused(3))
    report = redrive(DEAD_LETTERS, sinks)
    assert ids(azure_monitor) == [2, 3]
    assert sorted(asked) == ["", "emea", "gone"]
    assert (report.sent, report.left) == (2, 1)
    assert "connection gone" in report.message
    assert [blob.connection for blob in listed()] == ["gone"]


def test_what_can_never_be_sent_says_why(azure_monitor: AzureMonitor, storage: str) -> None:
    """Text, foreign messages and streams of no rule stay, each with its reason."""
    DeadLetters().put(OTHER, [Refused(b"not json", 0, "An element of the body is no object")])
    DeadLetters().put(QUEUE, [Refused(b'{"a":1}', 0, "A message cannot be read: why")])
    DeadLetters().put("Custom-Gone", refused(1))
    for _ in range(2):
        report = redrive(DEAD_LETTERS)
        assert dict(report.reasons) == {
            "it is no JSON object, so no table takes it": 1,
            "it is no message of the spool": 1,
            "this version has no stream Custom-Gone": 1,
        }


def test_a_spooled_message_that_was_set_aside_returns_to_the_spool(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """Its counts begin again; one whose blob is gone stays."""
    text = Message(OTHER, 3, gzip=compress(b'{"uuid":"1"}'), connection="emea", rounds=3).text()
    gone = Message(OTHER, blob="Custom-OneLogin/gone").text()
    deliver_message(text, sink_of, times_shown=4)
    deliver_message(gone, sink_of)
    report = redrive(DEAD_LETTERS)
    assert (report.sent, report.left) == (1, 1)
    assert "container spool is gone" in report.message
    (back,) = take_messages()
    message = Message.read(back)
    assert (message.tries, message.rounds, message.connection) == (0, 0, "emea")
    assert Spool().records(message) == [b'{"uuid":"1"}']
