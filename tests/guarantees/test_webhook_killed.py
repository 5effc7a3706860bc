"""Ten senders post while the webhook's process is killed: events with a 200 arrive."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import pytest
import requests
from urllib3.exceptions import ProtocolError

from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import FOREVER, answer
from local.loopback.service import Service
from shared.delivery.spool import Spool
from tests.guarantees.runs_in_processes import processes, serve_webhook
from tests.webhook.posts import STREAM, TOKEN, events, run_delivery_retry

SENDERS = 10
KILLS = 3
BUSY = answer(503, headers={"Retry-After": "60"})


class Webhook(Service):
    """The webhook's process: after a kill it restarts at another address.

    It dies at each ``every``-th answer of 200, while the other senders wait for theirs: that is
    when a 200 that came too early costs events. ``meanwhile`` is called while no process lives.
    """

    def __init__(
        self, environment: dict[str, str], every: int, meanwhile: Callable[[int], None]
    ) -> None:
        self.kills = 0
        self.cut_off = 0  # posts that a kill left without an answer
        self._environment = environment
        self._every = every
        self._meanwhile = meanwhile
        self._context = processes()
        self._changed = threading.Condition()
        self._killing = threading.Lock()
        self._taken = 0
        self._url = ""
        self._process: Any = None

    def start(self) -> Self:
        """Begins it; returns when it listens."""
        here, there = self._context.Pipe(duplex=False)
        with here:
            self._process = self._context.Process(
                target=serve_webhook, args=(self._environment, there), daemon=True
            )
            self._process.start()
            there.close()
            url = here.recv()
        with self._changed:
            self._url = url
            self._changed.notify_all()
        return self

    def close(self) -> None:
        """SIGKILL; returns when it is dead."""
        self._process.kill()
        self._process.join()
        self._process.close()

    def _url_after(self, failed: str) -> str:
        """Where it listens, once that is not the address that ``failed``."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._url != failed, timeout=180)
            return self._url

    def post(self, batch: list[dict[str, Any]]) -> None:
        """As OneLogin does: send again exactly the posts without a 200."""
        url = self._url_after("")
        for _ in range(100):
            try:
                answered = requests.post(
                    url, json=batch, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
                )
            except requests.Timeout:
                continue
            except requests.ConnectionError as error:
                with self._changed:
                    self.cut_off += isinstance(error.args[0], ProtocolError)
                url = self._url_after(url)
                continue
            if answered.status_code == 200:
                self._count()
                return
        pytest.fail("a hundred tries did not deliver a post")

    def _count(self) -> None:
        """One more post is answered 200; if it is its turn, that is the process's last answer."""
        with self._changed:
            self._taken += 1
            its_turn = self._taken % self._every == 0 and self._taken <= self._every * KILLS
        if its_turn:
            with self._killing:
                self.close()
                self.kills += 1
                self._meanwhile(self.kills)
                self.start()


@pytest.mark.parametrize(
    ("posts", "size"), [(6, 20), pytest.param(50, 100, marks=pytest.mark.slow)]
)
def test_every_event_of_every_200_outlives_kills(
    storage: str,
    azure_monitor: AzureMonitor,
    monkeypatch: pytest.MonkeyPatch,
    posts: int,
    size: int,
) -> None:
    """Killed thrice while all ten post: events go to the spool and to Azure Monitor by turns."""
    monkeypatch.setenv("OneLoginBearerToken", TOKEN)
    every = SENDERS * posts // (KILLS + 1)

    def change_the_weather(kills: int) -> None:
        azure_monitor.faults.clear()
        if kills % 2 == 0:
            azure_monitor.faults.add("/streams/", BUSY, times=FOREVER)

    def arrived() -> set[str]:
        return {record["uuid"] for record in azure_monitor.records(STREAM)}

    change_the_weather(0)
    with Webhook(dict(os.environ), every, change_the_weather) as webhook:

        def send(sender: int) -> None:
            for number in range(sender * posts, (sender + 1) * posts):
                webhook.post(events(size, start=number * size))

        with ThreadPoolExecutor(SENDERS) as senders:
            list(senders.map(send, range(SENDERS)))
    assert webhook.kills == KILLS
    assert webhook.cut_off

    spooled, delivered = Spool().depth(), len(arrived())
    azure_monitor.faults.clear()
    while Spool().depth():
        assert run_delivery_retry()
    assert {each["uuid"] for each in events(SENDERS * posts * size)} - arrived() == set()
    # The first process delivered nothing: its 200s wait in the spool, a message per post.
    assert spooled >= every
    assert delivered
