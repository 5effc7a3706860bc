"""Misbehaviour on order looks to a client as it does on the internet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from aiohttp import web

from local.loopback.faults import (
    Fault,
    answer,
    answer_after,
    changed,
    delay,
    drip,
    first,
    html,
    reset,
    reset_after,
    silence,
    truncated,
)
from local.loopback.server import LocalServer


class Counter:
    """A server that counts the requests that it handled."""

    def __init__(self) -> None:
        self.done = 0
        self.server = LocalServer([web.get("/count", self._count)])

    async def _count(self, _request: web.Request) -> web.Response:
        self.done += 1
        return web.json_response({"done": self.done, "padding": "x" * 1000})

    def get(self, *faults: Fault, times: int = 1, **options: Any) -> requests.Response:
        """One request, after these faults were planned."""
        self.server.faults.add("/count", *faults, times=times)
        return requests.get(f"{self.server.url}/count", timeout=options.pop("timeout", 10))


@pytest.fixture
def counter() -> Iterator[Counter]:
    """A running one."""
    made = Counter()
    with made.server:
        yield made


def test_an_answer_instead_of_the_work(counter: Counter) -> None:
    """Status, headers and body as planned; nothing was done, and the next request is served."""
    refused = counter.get(answer(429, b"later", {"Retry-After": "7"}))
    assert (refused.status_code, refused.text, refused.headers["Retry-After"]) == (
        429,
        "later",
        "7",
    )
    assert counter.done == 0
    assert counter.get().json()["done"] == 1


def test_a_page_where_json_was_promised(counter: Counter) -> None:
    """A login page comes with a 200."""
    page = counter.get(html())
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html")


@pytest.mark.parametrize(("fault", "done"), [(reset(), 0), (reset_after(), 1)])
def test_a_reset_before_or_after_the_work(counter: Counter, fault: Fault, done: int) -> None:
    """The connection breaks either way; only the server knows whether the work was done."""
    with pytest.raises(requests.ConnectionError):
        counter.get(fault)
    assert counter.done == done


def test_an_error_after_the_work(counter: Counter) -> None:
    """A 500 may hide work that was done."""
    assert counter.get(answer_after(500)).status_code == 500
    assert counter.done == 1


def test_a_body_that_ends_early(counter: Counter) -> None:
    """Content-Length promises more than comes."""
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        counter.get(truncated())


def test_a_slow_drip_is_whole_in_the_end(counter: Counter) -> None:
    """Piece by piece, and nothing is missing."""
    assert counter.get(drip(pieces=5, every=0.01)).json()["done"] == 1


def test_a_late_answer(counter: Counter) -> None:
    """The client's time-out ends the wait."""
    started = time.monotonic()
    assert counter.get(delay(0.1)).status_code == 200
    assert time.monotonic() - started >= 0.1
    with pytest.raises(requests.Timeout):
        counter.get(silence(), timeout=0.2)


def test_a_changed_body(counter: Counter) -> None:
    """The right answer with something wrong in it."""
    assert counter.get(changed(lambda body: body.replace(b"done", b"gone"))).json()["gone"] == 1


def test_something_happens_first(counter: Counter) -> None:
    """A callback runs before the work, as when a record arrives between two pages."""
    seen: list[int] = []
    assert counter.get(first(lambda: seen.append(counter.done))).json()["done"] == 1
    assert seen == [0]


def test_faults_come_in_order_and_as_often_as_planned(counter: Counter) -> None:
    """Two 503s, then a 500, then good days; the log of requests shows each."""
    counter.server.faults.add("/count", answer(503), times=2)
    statuses = [counter.get(answer(500)).status_code]
    statuses += [counter.get().status_code for _ in range(3)]
    assert statuses == [503, 503, 500, 200]
    assert [request.status for request in counter.server.requests] == statuses
    assert counter.server.faults.pending() == 0


def test_a_fault_may_wait_for_its_request(counter: Counter) -> None:
    """`only` narrows a fault to requests that fit."""
    counter.server.faults.add("/count", answer(400).only(lambda request: "cursor" in request.query))
    assert counter.get().status_code == 200
    url = f"{counter.server.url}/count?cursor=x"
    assert requests.get(url, timeout=10).status_code == 400
