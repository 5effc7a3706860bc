"""Redrive: each record once; records refused again stay."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

import shared.azure.storage
from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import FOREVER, answer
from shared.delivery.batch import compress
from shared.delivery.dead_letter_blobs import listed
from shared.delivery.dead_letters import CONTAINER, DeadLetters, Refused
from shared.delivery.redrive import redrive
from shared.delivery.spool import POISON_QUEUE, QUEUE, Message
from tests.app import App, ask

STREAM = "Custom-JiraAudit"


def refused(*numbers: int, status: int = 400) -> list[Refused]:
    reason = "InvalidRecord: a value is not of its column's type"
    return [Refused(orjson.dumps({"id": n}), status, reason) for n in numbers]


def ids(monitor: AzureMonitor) -> list[int]:
    return sorted(record["id"] for record in monitor.records(STREAM))


def redriven(what: str = "dead-letters") -> dict[str, Any]:
    answered = ask("POST", {"redrive": what})
    assert answered.status_code == 200
    value: dict[str, Any] = orjson.loads(answered.get_body())
    return value


def bad(*numbers: int) -> Any:
    """Azure Monitor refuses these records."""
    return lambda _, record: "InvalidRecord: no" if record["id"] in numbers else None


def test_mended_dead_letters_arrive_and_are_gone(app: App) -> None:
    """After the cause is fixed all arrive, each once, and no blob is left."""
    DeadLetters().put(STREAM, refused(*range(5)))
    DeadLetters().put(STREAM, refused(7))
    report = redriven()
    assert (report["sent"], report["left"]) == (6, 0)
    assert ids(app.monitor) == [0, 1, 2, 3, 4, 7]
    assert redriven()["sent"] == 0
    assert ids(app.monitor) == [0, 1, 2, 3, 4, 7]
    assert app.status()["dead_letters"]["blobs"] == 0


def test_dead_letters_of_the_data_collector_lose_no_field(app: App) -> None:
    """Nor in the half that is bisected: the Logs Ingestion API drops what is not declared."""
    records = [{"id": n, "Connection": "emea", "brand_new": n} for n in range(4)]
    letters = [Refused(orjson.dumps(record), 400, "InvalidRecord: no") for record in records]
    DeadLetters().put(STREAM, letters)
    app.monitor.refuse = bad(1)
    assert redriven()["sent"] == 3
    told = [record["AdditionalFields"] for record in app.monitor.records(STREAM)]
    assert sorted(each["brand_new"] for each in told) == [0, 2, 3]
    assert {each["Connection"] for each in told} == {"emea"}


def test_what_is_refused_again_stays(app: App) -> None:
    """Records of a blob that are refused again stay, counted, with their new reason."""
    DeadLetters().put(STREAM, refused(*range(60)))
    app.monitor.refuse = bad(*range(0, 60, 2))
    report = redriven()
    assert (report["sent"], report["left"]) == (30, 30)
    assert ids(app.monitor) == list(range(1, 60, 2))
    (count,) = app.status()["dead_letters"]["counts"]
    told = (count["stream"], count["cause"], count["records"])
    assert told == (STREAM, "HTTP 400 InvalidRecord", 30)
    app.monitor.refuse = None
    assert redriven()["sent"] == 30
    assert ids(app.monitor) == list(range(60))


def test_when_nothing_is_mended_all_stay(app: App) -> None:
    """Where all are refused again nothing arrives and nothing is lost."""
    DeadLetters().put(STREAM, refused(1, 2, 3))
    app.monitor.refuse = bad(1, 2, 3)
    report = redriven()
    assert (report["sent"], report["left"]) == (0, 3)
    assert app.status()["dead_letters"]["counts"][0]["records"] == 3


def test_text_that_is_no_record_is_never_sent(app: App) -> None:
    """Text that was no event, and streams that no rule declares, are never sent."""
    odd = [Refused(b"not json", 0, "An element of the body is no object")]
    DeadLetters().put("Custom-OneLogin", odd)
    DeadLetters().put(QUEUE, [Refused(b'{"a":1}', 0, "A message cannot be read: why")])
    report = redriven()
    assert (report["sent"], report["left"]) == (0, 2)
    causes = {count["cause"] for count in app.status()["dead_letters"]["counts"]}
    assert causes == {"An element of the body is no object", "A message cannot be read"}


def test_an_outage_leaves_all_and_is_told(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing role is in the report's message; the dead letters are unchanged."""
    DeadLetters().put(STREAM, refused(1, 2))
    app.monitor.faults.add(STREAM, answer(403), times=FOREVER)
    report = redriven()
    assert (report["sent"], report["left"]) == (0, 2)
    assert "Monitoring Metrics Publisher" in report["message"]
    app.monitor.faults.clear()
    assert redriven()["sent"] == 2


def test_two_redrives_at_once_send_nothing_twice(app: App) -> None:
    """A blob that another redrive leases is skipped."""
    DeadLetters().put(STREAM, refused(1))
    (name,) = (blob.name for blob in listed())
    lease = shared.azure.storage.container(CONTAINER).get_blob_client(name).acquire_lease(15)
    assert redriven()["sent"] == 0
    lease.release()
    assert redriven()["sent"] == 1
    assert ids(app.monitor) == [1]


def test_a_blob_without_counts_is_counted_once(app: App) -> None:
    """A blob without ``causes`` metadata counts as one, and is redriven like any other."""
    line = {"record": {"id": 9}, "stream": STREAM, "status": 400, "message": "x"}
    DeadLetters().put(STREAM, refused(1))
    shared.azure.storage.container(CONTAINER).upload_blob(
        f"{STREAM}/by-hand.ndjson.gz", compress(json.dumps(line).encode())
    )
    assert app.status()["dead_letters"]["blobs"] == 2
    assert redriven()["sent"] == 2


@pytest.mark.parametrize(
    "content",
    [b"hello", compress(b"hello\n"), compress(b'{"id": 1}\n'), compress(b"[1]\n")],
    ids=["text", "gzip of text", "gzip of no dead letter", "gzip of a list"],
)
def test_an_unreadable_blob_does_not_block_the_others(app: App, content: bytes) -> None:
    """An unreadable blob stays and is in the message; the blobs after it are sent."""
    DeadLetters().put(STREAM, refused(7))
    name = f"{STREAM}/2020-01-01/000000-mine.ndjson.gz"
    shared.azure.storage.container(CONTAINER).upload_blob(name, content)
    report = redriven()
    assert report["sent"] == 1
    assert "cannot be read" in report["message"]
    assert ids(app.monitor) == [7]
    assert [blob.name for blob in listed()] == [name]


def test_poison_messages_return_to_the_spool(app: App) -> None:
    """Readable messages move from the poison queue to the spool; others stay."""
    queue = shared.azure.storage.queue(POISON_QUEUE)
    queue.create_queue()
    queue.send_message(Message("Custom-OneLogin", 5, gzip=compress(b'{"uuid":"1"}')).text())
    queue.send_message("not one of ours")
    shared.azure.storage.queue(QUEUE).create_queue()
    report = redriven("poison")
    assert (report["sent"], report["left"]) == (1, 1)
    (back,) = shared.azure.storage.queue(QUEUE).receive_messages()
    assert Message.read(back.content).stream == "Custom-OneLogin"
    assert redriven("poison")["sent"] == 0
    assert app.status()["poison"]["messages"] == 1


def test_nothing_to_send_is_no_error(app: App) -> None:
    """A missing container or queue is an empty one."""
    for what in ("dead-letters", "poison"):
        report = redrive(what)
        assert (report.sent, report.left, report.message) == (0, 0, "")
