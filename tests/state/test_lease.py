"""A connection's lease on the storage emulator, behind a proxy that loses answers."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from aiohttp import web

from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import FOREVER, Fault, reset, reset_after
from local.loopback.server import LocalServer
from local.vendors.sentinelone import SentinelOne
from shared.azure import storage as clients
from shared.azure.storage import forget_clients
from shared.connectors.sentinelone import CONNECTOR
from shared.errors import LeaseLost, StorageUnavailable
from shared.polling.run import poll
from shared.records.timestamps import utc_now
from shared.state.lease import (
    CONTAINER,
    TIMES,
    LastPoll,
    LeaseTimes,
    held_lease,
    put_off_by,
    read_leases,
)

BEGAN = datetime(2026, 11, 28, 12, 0, 5, tzinfo=UTC)
# Renewed four times a second, and sure for a second at most: the emulator's own lease is longer.
QUICK = LeaseTimes(length=15, renew=0.05, sure=14.0, retry=0.05)


@pytest.fixture
def proxy(storage: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """The way to the emulator's blobs, with faults on order."""
    found = re.search(r"BlobEndpoint=(http://[^/]+)(/\w+)", storage)
    assert found
    target, account = found.groups()

    async def forward(request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name != "Host"}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method,
                f"{target}{request.rel_url.raw_path_qs}",
                headers=headers,
                data=await request.read() or None,
                skip_auto_headers=["Content-Type"],
            ) as answer,
        ):
            kept = {n: v for n, v in answer.headers.items() if n.lower() not in _HOP_BY_HOP}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    with LocalServer([web.route("*", "/{path:.*}", forward)]) as server:
        through = f"BlobEndpoint={server.url}{account}"
        monkeypatch.setenv("AzureWebJobsStorage", re.sub(r"BlobEndpoint=[^;]+", through, storage))
        forget_clients()
        yield server


_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


def at(action: str, fault: Fault) -> Fault:
    """The fault, at lease operations of that kind alone."""
    return fault.only(lambda request: request.headers.get("x-ms-lease-action") == action)


def until(happened: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(400):
        if happened():
            return
        pause.wait(0.02)
    pytest.fail("it did not happen within eight seconds")


def test_one_run_holds_a_connection_at_a_time(storage: str) -> None:
    """The second finds it held; connections do not stand in each other's way."""
    with held_lease("SentinelOne") as first, held_lease("SentinelOne") as second:
        assert first is not None
        assert second is None
        assert first.sure_for() > 55
        with held_lease("SentinelOne", "emea") as other:
            assert other is not None
            assert read_leases().held == {"SentinelOne", "SentinelOne__emea"}
    with held_lease("SentinelOne") as again:
        assert again is not None


def test_an_acquire_whose_answer_is_lost_is_asked_again(proxy: LocalServer) -> None:
    """The proposed id makes the second request the same lease's."""
    with held_lease("Jira"):
        pass  # the blob exists
    proxy.faults.add("", at("acquire", reset_after()), times=2)
    with held_lease("Jira") as lease:
        assert lease is not None
        lease.begin()
        assert lease.seconds_for_upload() > 30
    assert not proxy.faults.pending()


def test_an_acquire_without_any_answer_fails_and_lapses_by_itself(proxy: LocalServer) -> None:
    """Storage took it, and nobody knows: the run fails, a minute later the next one may poll."""
    with held_lease("Jira"):
        pass
    proxy.faults.add("", at("acquire", reset_after()), times=3)
    with pytest.raises(StorageUnavailable, match="AzureWebJobsStorage"), held_lease("Jira"):
        pytest.fail("it is not held for sure")
    assert read_leases().held == {"Jira"}


def test_a_renewal_whose_answer_is_lost_is_asked_again(proxy: LocalServer) -> None:
    """The lease stays sure, and the run hears nothing of it."""
    with held_lease("Jira", times=QUICK) as lease:
        assert lease is not None
        proxy.faults.add("", at("renew", reset_after()), times=2)
        until(lambda: not proxy.faults.pending())
        before = lease.sure_for()
        until(lambda: lease.sure_for() > before)
        lease.check()


def test_without_renewals_no_upload_begins_while_the_lease_still_lasts(proxy: LocalServer) -> None:
    """Half a minute before its end the run is over; the lease itself is not lost yet."""
    proxy.faults.add("", at("renew", reset()), times=FOREVER)
    with held_lease("Jira", times=QUICK) as lease:
        assert lease is not None
        assert lease.seconds_for_upload() > QUICK.sure
        until(lambda: lease.sure_for() < QUICK.sure)
        with pytest.raises(LeaseLost, match="nothing is lost"):
            lease.seconds_for_upload()
        lease.check()
    assert TIMES.sure == 30


def test_a_lease_that_was_broken_is_lost_at_once(storage: str) -> None:
    """Azure says so at the next renewal or write; neither is tried again."""
    with held_lease("Jira", times=QUICK) as lease:
        assert lease is not None
        take_by_force("Jira")
        until(lambda: lease.sure_for() == 0)
        with pytest.raises(LeaseLost):
            lease.check()
        with pytest.raises(LeaseLost):
            lease.begin()
        lease.end("ok")  # another run's to write down now
    assert read_leases().polls["Jira"] == LastPoll()


def take_by_force(name: str) -> None:
    """Break the blob's lease, and take another."""
    from azure.storage.blob import BlobLeaseClient

    blob = clients.container(CONTAINER).get_blob_client(name)
    BlobLeaseClient(blob).break_lease(0)
    blob.acquire_lease(15)


def test_its_metadata_tell_the_last_poll(storage: str) -> None:
    """By Storage's clock, whatever the host's says; a listing has them of all connections."""
    with held_lease("SentinelOne", "emea") as lease:
        assert lease is not None
        assert lease.last == LastPoll()
        lease.begin("message-1")
        lease.end("late")
    found = read_leases()
    told = found.polls["SentinelOne__emea"]
    assert (told.outcome, told.message, told.due, told.unended) == ("late", "message-1", None, 0)
    assert told.began
    assert told.ended
    assert timedelta() <= found.now - told.began < timedelta(seconds=5)
    assert not found.held


def test_a_hosts_wrong_clock_is_never_read(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten minutes ahead, it writes down Storage's time all the same."""
    monkeypatch.setattr("shared.state.lease.utc_now", lambda: utc_now() + timedelta(minutes=10))
    with held_lease("Jira") as lease:
        assert lease is not None
        assert abs((lease.now() - utc_now()).total_seconds()) < 5


def test_polls_that_never_ended_are_counted(storage: str) -> None:
    """Until one ends."""
    for killed in range(3):
        with held_lease("Jira") as lease:
            assert lease is not None
            lease.begin()
            assert lease.unended == killed
    with held_lease("Jira") as lease:
        assert lease is not None
        lease.begin()
        lease.end("ok")
    with held_lease("Jira") as lease:
        assert lease is not None
        lease.begin()
        assert lease.unended == 0


def test_a_silent_connection_is_put_off_longer_and_longer(storage: str) -> None:
    """To the next tick first, then 10, 20 and 30 minutes; an answer ends it."""
    waits = []
    for _ in range(5):
        with held_lease("Jira") as lease:
            assert lease is not None
            lease.begin()
            lease.end("failing", silent=True, put_off=True)
        told = read_leases().polls["Jira"]
        assert told.ended
        waits.append(round((told.due - told.ended).total_seconds() / 60) if told.due else 0)
    assert waits == [0, 10, 20, 30, 30]
    with held_lease("Jira") as lease:
        assert lease is not None
        lease.begin()
        lease.end("ok", put_off=True)
    assert read_leases().polls["Jira"].due is None
    assert put_off_by(1_000) == timedelta(minutes=30)


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {"began": "yesterday", "silent": "-1", "unended": "many", "due": ""}],
)
def test_metadata_edited_by_hand_read_as_absent(metadata: dict[str, str] | None) -> None:
    """A person may have touched the blob: the next poll begins all the same."""
    assert LastPoll.parse(metadata) == LastPoll()


def test_metadata_are_read_as_they_were_written() -> None:
    """Each value in its own entry; what is absent has none."""
    poll = LastPoll(BEGAN, BEGAN + timedelta(seconds=9), "ok", None, 2, 1, "id")
    assert LastPoll.parse(poll.metadata()) == poll
    assert LastPoll().metadata() == {}


def test_no_leases_are_no_error(storage: str) -> None:
    """Before the first poll there is no container."""
    assert read_leases().polls == {}


def test_a_poll_is_six_calls_of_blob_storage(
    settings_env: dict[str, str],
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    proxy: LocalServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lease, look, is it paused, begin, end, release: what docs/connections.md counts."""
    monkeypatch.setenv("SentinelOneStreams", "activities")
    poll(CONNECTOR)
    before = proxy.count(f"/{CONTAINER}/")
    poll(CONNECTOR)
    assert proxy.count(f"/{CONTAINER}/") - before == 6
