"""The webhook while Azure Monitor, the storage account or both are away."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import FOREVER, Fault, answer, delay, reset, silence
from shared.azure import storage as clients
from shared.connectors.onelogin import CONNECTOR
from shared.delivery.redelivery import deliver_message
from shared.delivery.sink import sink_of
from shared.delivery.spool import QUEUE, Spool
from shared.runtime.circuit_breaker import CircuitBreaker
from shared.telemetry.run import RunResult
from shared.webhook import receiver
from tests.webhook.posts import (
    STREAM,
    TOKEN,
    dead_letters,
    event,
    events,
    post,
    run_delivery_retry,
)

BUSY = answer(503, headers={"Retry-After": "60"})


def uuids(azure_monitor: AzureMonitor) -> list[str]:
    return [record["uuid"] for record in azure_monitor.records(STREAM)]


@pytest.mark.parametrize(
    "fault",
    [
        BUSY,
        answer(429, headers={"Retry-After": "30"}),
        answer(401),
        answer(403),
        answer(404),
    ],
    ids=lambda fault: fault.name,
)
def test_events_wait_in_the_spool_until_azure_monitor_is_back(
    onelogin: AzureMonitor, fault: Fault
) -> None:
    """An outage is answered 200 from the spool, and DeliveryRetry delivers each event once."""
    onelogin.faults.add("/streams/", fault, times=FOREVER)
    assert post(events(10)).status_code == 200
    assert uuids(onelogin) == []
    assert Spool().depth() == 1

    onelogin.faults.clear()
    assert run_delivery_retry() == 1
    assert uuids(onelogin) == [f"uuid-{number}" for number in range(10)]
    assert Spool().depth() == 0
    assert list(dead_letters()) == []


@pytest.mark.slow
@pytest.mark.parametrize("fault", [silence(), reset()], ids=lambda fault: fault.name)
def test_the_answer_comes_within_six_seconds(onelogin: AzureMonitor, fault: Fault) -> None:
    """However Azure Monitor is away, the sender has its 200 in time."""
    onelogin.faults.add("/streams/", fault, times=FOREVER)
    began = time.monotonic()
    assert post(events(10)).status_code == 200
    assert time.monotonic() - began < 6
    assert Spool().depth() == 1


@pytest.mark.slow
def test_a_sign_in_that_hangs_delays_no_response(onelogin: AzureMonitor) -> None:
    """An identity endpoint that never answers is an outage like any other."""
    onelogin.identity.managed.faults.add("/msi", silence(), times=FOREVER)
    began = time.monotonic()
    assert post(events(1)).status_code == 200
    assert time.monotonic() - began < 12
    assert Spool().depth() == 1


def test_after_a_failure_events_go_straight_to_the_spool(onelogin: AzureMonitor) -> None:
    """For a minute after a failure Azure Monitor is not asked, so that no worker waits for it."""
    onelogin.faults.add("/streams/", BUSY, times=FOREVER)
    post(events(1))
    asked = onelogin.server.count("/streams/")
    for number in range(1, 6):
        assert post([event(number)]).status_code == 200
    assert onelogin.server.count("/streams/") == asked == 1
    onelogin.faults.clear()
    run_delivery_retry()
    assert Counter(uuids(onelogin)) == Counter(f"uuid-{number}" for number in range(6))


def test_repeats_of_spooled_events_are_not_spooled_again(onelogin: AzureMonitor) -> None:
    """An event that is safe in the spool is a repeat when it comes again."""
    onelogin.faults.add("/streams/", BUSY, times=FOREVER)
    post(events(3))
    post(events(3))
    onelogin.faults.clear()
    run_delivery_retry()
    assert uuids(onelogin) == ["uuid-0", "uuid-1", "uuid-2"]


def test_what_arrived_before_the_outage_is_not_spooled(onelogin: AzureMonitor) -> None:
    """A post of several batches of which one arrived spools only the others."""
    large = [event(number, notes="n" * 300_000) for number in range(9)]
    onelogin.faults.add("/streams/", delay(0), BUSY)
    assert post(large).status_code == 200
    arrived = len(uuids(onelogin))
    assert 0 < arrived < 9
    onelogin.faults.clear()
    run_delivery_retry()
    assert uuids(onelogin) == [f"uuid-{number}" for number in range(9)]


def test_no_message_ever_expires(onelogin: AzureMonitor) -> None:
    """An outage may last for weeks: spooled events stay until they are delivered."""
    onelogin.faults.add("/streams/", BUSY, times=FOREVER)
    post(events(1))
    (message,) = clients.queue(QUEUE).peek_messages()
    assert message.expires_on is not None
    assert message.expires_on.year > 9000


def test_one_attempt_a_minute_finds_out() -> None:
    """After a failure one caller a minute may try; success opens the way for everybody."""
    now = 1000.0
    circuit = CircuitBreaker(lambda: now)
    assert all(circuit.allows() for _ in range(3))
    circuit.report(well=False)
    assert not circuit.allows()
    now += 60
    assert [circuit.allows() for _ in range(3)] == [True, False, False]
    circuit.report(well=False)
    now += 59
    assert not circuit.allows()
    now += 1
    assert circuit.allows()
    circuit.report(well=True)
    assert all(circuit.allows() for _ in range(3))


@pytest.fixture
def dead_storage(onelogin: AzureMonitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage account whose ports are closed."""
    point_storage_at(1, monkeypatch)


@pytest.fixture
def silent_storage(onelogin: AzureMonitor, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A storage account that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        point_storage_at(server.getsockname()[1], monkeypatch)
        yield


def point_storage_at(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    account = f"http://127.0.0.1:{port}/devstoreaccount1"
    monkeypatch.setenv(
        "AzureWebJobsStorage",
        "AccountName=devstoreaccount1;AccountKey=a2V5;"
        f"BlobEndpoint={account};QueueEndpoint={account};TableEndpoint={account}",
    )
    clients.forget_clients()


def test_without_storage_events_still_arrive(onelogin: AzureMonitor, dead_storage: None) -> None:
    """While Azure Monitor accepts events, a storage outage changes no response."""
    assert post(events(3)).status_code == 200
    assert len(uuids(onelogin)) == 3


def test_with_storage_down_too_the_sender_is_told_to_come_back(
    onelogin: AzureMonitor, dead_storage: None
) -> None:
    """Neither delivered nor spooled is 503 with Retry-After; sent again, the events arrive."""
    onelogin.faults.add("/streams/", BUSY, times=FOREVER)
    answered = post(events(3))
    assert answered.status_code == 503
    assert int(answered.headers["Retry-After"]) > 0

    assert post(events(3)).status_code == 503
    assert uuids(onelogin) == []


@pytest.mark.slow
def test_even_with_silent_storage_the_answer_comes_within_20_seconds(
    onelogin: AzureMonitor, silent_storage: None
) -> None:
    """Storage that never answers costs the sender less than 20 s until its 503."""
    onelogin.faults.add("/streams/", BUSY, times=FOREVER)
    began = time.monotonic()
    assert post(events(1)).status_code == 503
    assert time.monotonic() - began < 20


def test_the_check_of_the_token_takes_from_the_time_to_answer(
    onelogin: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Storage gets what a slow vault has left of the sender's 20 s, not the whole."""
    given: list[float] = []

    now = [100.0]

    def check(*_: object) -> str:
        now[0] += 0.5
        return ""

    def call(seconds: float, work: Callable[[], object]) -> object:
        given.append(seconds)
        return work()

    monkeypatch.setattr(receiver, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(receiver, "connection_of", check)
    monkeypatch.setattr(receiver, "call_with_timeout", call)
    monkeypatch.setattr(receiver, "_ANSWER_SECONDS", 5.0)
    assert post([1]).status_code == 200
    assert given == [4.5]


def test_odd_elements_need_the_storage(onelogin: AzureMonitor, dead_storage: None) -> None:
    """An element that can be neither delivered nor kept makes the answer 503."""
    assert post([event(1), 7]).status_code == 503


def test_an_element_kept_before_the_spool_failed_is_kept_once(
    onelogin: AzureMonitor, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the queues away the answer is 503; the sender's next try keeps nothing again."""
    monkeypatch.setenv(
        "AzureWebJobsStorage", f"{storage};QueueEndpoint=http://127.0.0.1:1/devstoreaccount1"
    )
    clients.forget_clients()
    onelogin.faults.add("/streams/", BUSY, times=FOREVER)
    assert [post([event(1), 7, 8]).status_code for _ in range(2)] == [503, 503]
    assert [letter["record"] for letter in dead_letters()] == [7, 8]


def test_a_refused_event_that_cannot_be_kept_is_not_lost(
    onelogin: AzureMonitor, dead_storage: None
) -> None:
    """A dead letter that cannot be written makes the answer 503: OneLogin still has the event."""
    onelogin.refuse = lambda _stream, record: "bad" if record["uuid"] == "uuid-1" else None
    assert post(events(3)).status_code == 503


def test_what_arrived_beside_a_refused_event_that_cannot_be_kept_is_not_sent_again(
    onelogin: AzureMonitor, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the blobs away only the refused event goes to the spool, and waits there for them."""
    monkeypatch.setenv(
        "AzureWebJobsStorage", f"{storage};BlobEndpoint=http://127.0.0.1:1/devstoreaccount1"
    )
    clients.forget_clients()
    onelogin.refuse = lambda _stream, record: "bad" if record["uuid"] == "uuid-1" else None
    assert post(events(3)).status_code == 200
    assert Spool().depth() == 1
    for message in list(clients.queue(QUEUE).receive_messages()):
        deliver_message(message.content, sink_of)
        clients.queue(QUEUE).delete_message(message)
    assert Spool().depth() == 1
    assert sorted(uuids(onelogin)) == ["uuid-0", "uuid-2"]


def test_events_are_not_remembered_until_they_are_safe(
    onelogin: AzureMonitor, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a 503 the same events are no repeats: they are taken when they come again."""
    point_storage_at(1, monkeypatch)
    onelogin.faults.add("/streams/", BUSY)
    assert post(events(3)).status_code == 503
    monkeypatch.setenv("AzureWebJobsStorage", storage)
    clients.forget_clients()
    assert post(events(3)).status_code == 200
    run_delivery_retry()
    assert sorted(uuids(onelogin)) == ["uuid-0", "uuid-1", "uuid-2"]


def test_what_arrived_beside_an_element_that_is_not_safe_counts_once(
    onelogin: AzureMonitor, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events delivered by a post that is answered 503 count then: sent again, they are repeats."""
    runs: list[RunResult] = []
    webhook = receiver.Webhook(CONNECTOR, report=runs.append)
    headers = {"authorization": f"Bearer {TOKEN}"}
    body = json.dumps([*events(3), 7]).encode()
    point_storage_at(1, monkeypatch)
    assert webhook.answer(headers, body).status == 503
    monkeypatch.setenv("AzureWebJobsStorage", storage)
    clients.forget_clients()
    assert webhook.answer(headers, body).status == 200
    assert len(uuids(onelogin)) == 3
    assert [(run.records, sum(run.hours.values()), run.repeats) for run in runs] == [
        (3, 3, 0),
        (0, 0, 3),
    ]


def test_one_event_in_two_posts_at_once_arrives_once(onelogin: AzureMonitor) -> None:
    """A repeat that comes while the first is on its way waits for it, and is sent once."""
    onelogin.faults.add("/streams/", delay(0.3), times=10)
    with ThreadPoolExecutor(4) as senders:
        answers = list(senders.map(lambda _: post(events(5)).status_code, range(4)))
    assert answers == [200] * 4
    assert sorted(uuids(onelogin)) == [f"uuid-{number}" for number in range(5)]


def test_a_repeat_is_not_safe_while_the_first_is_not(
    onelogin: AzureMonitor, dead_storage: None
) -> None:
    """If the first post of an event fails, the post that waited for it fails too."""
    onelogin.faults.add("/streams/", BUSY, times=FOREVER)
    with ThreadPoolExecutor(3) as senders:
        answers = list(senders.map(lambda _: post(events(5)).status_code, range(3)))
    assert answers == [503] * 3


def test_ten_senders_through_a_bad_day(onelogin: AzureMonitor) -> None:
    """Ten senders at once, with throttling and resets: every event of every 200 arrives."""
    onelogin.faults.add("/streams/", answer(429), reset(), answer(500), BUSY, times=3)
    taken: list[str] = []
    lock = threading.Lock()

    def send(sender: int) -> None:
        for number in range(8):
            batch = events(60, start=(sender * 8 + number) * 60)
            if post(batch).status_code == 200:
                with lock:
                    taken.extend(each["uuid"] for each in batch)

    with ThreadPoolExecutor(10) as senders:
        list(senders.map(send, range(10)))
    onelogin.faults.clear()
    while run_delivery_retry():
        pass
    arrived = Counter(uuids(onelogin))
    assert len(taken) == 4800
    assert set(taken) == set(arrived)
    assert max(arrived.values()) == 1
