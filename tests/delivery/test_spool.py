"""The spool and DeliveryRetry on the storage emulator."""

from __future__ import annotations

import base64
import random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from azure.storage.queue import QueueClient

from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import FOREVER, answer, delay
from shared.azure import storage as clients
from shared.delivery.batch import compress
from shared.delivery.dead_letter_blobs import listed
from shared.delivery.redelivery import deliver_message
from shared.delivery.sink import Sink, sink_of
from shared.delivery.spool import CONTAINER, QUEUE, Message, Spool
from shared.errors import SettingsError, StorageUnavailable
from tests.webhook.posts import dead_letters

STREAM = "Custom-OneLogin"
_random = random.Random(20260301)
BUSY = answer(503, headers={"Retry-After": "60"})


def records(count: int, **fields: Any) -> list[bytes]:
    return [orjson.dumps({"uuid": str(number), **fields}) for number in range(count)]


def noise(size: int) -> str:
    """Return text that hardly compresses."""
    return base64.b64encode(_random.randbytes(size)).decode()


def take_messages() -> list[str]:
    """Receive and delete the visible messages, as the host does."""
    queue = clients.queue(QUEUE)
    texts = []
    for message in list(queue.receive_messages(visibility_timeout=60)):
        texts.append(message.content)
        queue.delete_message(message)
    return texts


def blobs(container: str) -> list[str]:
    client = clients.container(container)
    return list(client.list_blob_names()) if client.exists() else []


def uuids(azure_monitor: AzureMonitor) -> list[str]:
    return [record["uuid"] for record in azure_monitor.records(STREAM)]


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Impatient:
    """A storage account that records delays instead of waiting for them."""

    def __init__(self, connection: str) -> None:
        self.connection = connection
        self.delays: list[int] = []
        self.lifetimes: set[str] = set()
        self.container = clients.container

    def queue(self, name: str, /) -> QueueClient:
        return QueueClient.from_connection_string(self.connection, name, raw_request_hook=self._see)

    def _see(self, request: Any) -> None:
        query = parse_qs(urlsplit(request.http_request.url).query)
        if request.http_request.method == "POST" and "messagettl" in query:
            (delay,) = query["visibilitytimeout"]
            self.delays.append(int(delay))
            self.lifetimes.update(query["messagettl"])
            request.http_request.url = request.http_request.url.replace(
                f"visibilitytimeout={delay}", "visibilitytimeout=0"
            )


def test_what_is_spooled_is_read_back(storage: str) -> None:
    """Records come out of the spool byte for byte and in order."""
    spool = Spool()
    spool.put(STREAM, records(500, notes="Zoë 漢字"))
    (text,) = take_messages()
    assert spool.records(Message.read(text)) == records(500, notes="Zoë 漢字")


def test_a_large_batch_becomes_several_messages(storage: str) -> None:
    """Each message is within 64 KB, and together the messages have every record once."""
    given = [orjson.dumps({"uuid": str(number), "notes": noise(6000)}) for number in range(60)]
    spool = Spool()
    spool.put(STREAM, given)
    depth = spool.depth()
    texts = take_messages()
    assert len(texts) == depth > 5
    assert all(len(text.encode()) <= 65_536 for text in texts)
    found = [record for text in texts for record in spool.records(Message.read(text)) or []]
    assert sorted(found) == sorted(given)
    assert blobs(CONTAINER) == []


def test_a_record_too_large_for_a_message_is_a_blob(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """The record becomes a blob that a message names, deleted after delivery."""
    spool = Spool()
    spool.put(STREAM, [*records(2), orjson.dumps({"uuid": "large", "notes": noise(300_000)})])
    assert len(blobs(CONTAINER)) == 1
    for text in take_messages():
        deliver_message(text, sink_of)
    assert sorted(uuids(azure_monitor)) == ["0", "1", "large"]
    assert blobs(CONTAINER) == []


def test_an_outage_puts_messages_back_with_a_growing_delay(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """During an outage the function succeeds and retries ever less often; then it delivers."""
    azure_monitor.faults.add("/streams/", BUSY, times=FOREVER)
    impatient = Impatient(storage)
    spool = Spool(impatient)
    spool.put(STREAM, records(3))
    clock = Clock()
    for _ in range(7):
        (text,) = take_messages()
        deliver_message(text, sink_of, spool=spool, clock=clock)
        clock.now += impatient.delays[-1]
    assert impatient.delays[-7:] == [60, 120, 240, 480, 900, 900, 900]
    assert impatient.lifetimes == {"-1"}

    azure_monitor.faults.clear()
    (text,) = take_messages()
    deliver_message(text, sink_of, spool=spool, clock=clock)
    assert uuids(azure_monitor) == ["0", "1", "2"]
    assert (spool.depth(), spool.poisoned(), list(dead_letters())) == (0, 0, [])


@pytest.mark.parametrize("fault", [answer(401), answer(403), answer(404)], ids=lambda f: f.name)
def test_a_refusal_waits_too(azure_monitor: AzureMonitor, storage: str, fault: Any) -> None:
    """A 403 puts the message back: a new role takes a while to work."""
    azure_monitor.faults.add("/streams/", fault, times=FOREVER)
    Spool().put(STREAM, records(3))
    (text,) = take_messages()
    done = deliver_message(text, sink_of).total
    assert (done.accepted, done.dead_lettered) == (0, 0)
    assert Spool().depth() == 1
    assert list(dead_letters()) == []


def test_a_missing_setting_waits_too(storage: str) -> None:
    """Wrong settings put the message back, and never into the poison queue."""

    def unset(_connection: str) -> Sink:
        raise SettingsError(["LogsIngestionEndpoint is not set"])

    Spool().put(STREAM, records(3))
    (text,) = take_messages()
    deliver_message(text, unset)
    assert Spool().depth() == 1


def test_a_refused_record_ends_in_the_dead_letters(
    azure_monitor: AzureMonitor, storage: str
) -> None:
    """A refused spooled record becomes a dead letter with its reason; the others arrive."""
    azure_monitor.refuse = lambda _stream, record: "bad" if record["uuid"] == "1" else None
    Spool().put(STREAM, records(3))
    (text,) = take_messages()
    done = deliver_message(text, sink_of).total
    assert (done.accepted, done.dead_lettered) == (2, 1)
    assert uuids(azure_monitor) == ["0", "2"]
    assert [letter["record"] for letter in dead_letters()] == [{"uuid": "1"}]


def test_only_what_is_left_is_put_back(azure_monitor: AzureMonitor, storage: str) -> None:
    """If a part arrived before the outage, only the rest is put back: no record arrives twice."""
    azure_monitor.faults.add("/streams/", answer(413), delay(0), BUSY)
    spool, clock = Spool(Impatient(storage)), Clock()
    spool.put(STREAM, records(4))
    (text,) = take_messages()
    deliver_message(text, sink_of, spool=spool, clock=clock)
    assert uuids(azure_monitor) == ["0", "1"]

    clock.now += 60
    (text,) = take_messages()
    deliver_message(text, sink_of, spool=spool, clock=clock)
    assert uuids(azure_monitor) == ["0", "1", "2", "3"]
    assert spool.depth() == 0


def test_a_blob_stays_while_its_message_waits(azure_monitor: AzureMonitor, storage: str) -> None:
    """A large record's blob outlives every failed try, and is deleted after delivery."""
    azure_monitor.faults.add("/streams/", BUSY, answer(403))
    spool, clock = Spool(Impatient(storage)), Clock()
    spool.put(STREAM, [orjson.dumps({"uuid": "large", "notes": noise(300_000)})])
    for waiting in (1, 1, 0):
        (text,) = take_messages()
        deliver_message(text, sink_of, spool=spool, clock=clock)
        clock.now += 60
        assert len(blobs(CONTAINER)) == waiting
    assert uuids(azure_monitor) == ["large"]


@pytest.mark.parametrize(
    "text",
    ["", "hello", '{"stream":"Custom-OneLogin"}', '{"stream":"X","tries":0,"gzip":"AAAA"}'],
)
def test_an_unreadable_message_ends_in_the_dead_letters(
    azure_monitor: AzureMonitor, storage: str, text: str
) -> None:
    """A foreign message becomes a dead letter with the reason, and the function succeeds."""
    done = deliver_message(text, sink_of).total
    assert done.dead_lettered == 1
    (letter,) = dead_letters()
    assert (letter["stream"], letter["status"]) == (QUEUE, 0)
    assert "cannot be read" in letter["message"]


def test_a_blob_that_is_gone_is_an_error(
    azure_monitor: AzureMonitor, storage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A message whose blob somebody deleted is a dead letter that says so, and an error."""
    message = Message(STREAM, blob="Custom-OneLogin/gone")
    done = deliver_message(message.text(), sink_of)
    assert done.total.accepted == 0
    (letter,) = dead_letters()
    assert letter["message"] == "The blob of a spooled message is gone: Custom-OneLogin/gone"
    assert Spool().depth() == 0
    (error,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "The blob of a spooled message is gone" in error.getMessage()


def test_a_message_of_nothing_ends(azure_monitor: AzureMonitor, storage: str) -> None:
    """A message without records ends, and is not put back forever."""
    deliver_message(Message(STREAM, gzip=compress(b"")).text(), sink_of)
    assert Spool().depth() == 0


def test_storage_that_fails_makes_the_host_show_the_message_again(
    azure_monitor: AzureMonitor, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that can be neither delivered nor put back raises, so that the host keeps it."""
    azure_monitor.faults.add("/streams/", BUSY, times=FOREVER)
    closed = "http://127.0.0.1:1/devstoreaccount1"
    monkeypatch.setenv(
        "AzureWebJobsStorage",
        f"AccountName=devstoreaccount1;AccountKey=a2V5;BlobEndpoint={closed};"
        f"QueueEndpoint={closed};TableEndpoint={closed}",
    )
    clients.forget_clients()
    text = Message(STREAM, gzip=compress(b"{}")).text()
    with pytest.raises(StorageUnavailable, match="AzureWebJobsStorage"):
        deliver_message(text, sink_of)


def test_nothing_spooled_is_no_error(storage: str) -> None:
    """Before the first outage neither queue nor container exists: the depth is 0."""
    assert Spool().depth() == 0
    assert Spool().poisoned() == 0
    assert listed() == []
