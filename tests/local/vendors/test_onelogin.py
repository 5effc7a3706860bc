"""The local OneLogin sends as the vendor does: in batches, in either format, until it hears 200."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from local.loopback.faults import answer
from local.loopback.server import LocalServer
from local.vendors.onelogin import Format, OneLogin
from local.vendors.onelogin_records import onelogin_event

EVENTS = [onelogin_event(n, datetime(2026, 3, 1, tzinfo=UTC)) for n in range(25)]


class Webhook:
    """A webhook that keeps every post."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.server = LocalServer([web.post("/hook", self._take)])

    async def _take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.headers.append(dict(request.headers))
        return web.Response(status=200)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A running one."""
    made = Webhook()
    with made.server:
        yield made


def sender(webhook: Webhook, **options: Any) -> OneLogin:
    """OneLogin, set up with the webhook's address and a token."""
    return OneLogin(f"{webhook.server.url}/hook", "token", **options)


def test_events_come_in_tens(webhook: Webhook) -> None:
    """25 events are three posts, each a JSON array, each with the token."""
    vendor = sender(webhook)
    assert vendor.broadcast(EVENTS) == []
    assert [len(json.loads(body)) for body in webhook.bodies] == [10, 10, 5]
    assert vendor.sent == EVENTS
    assert {headers["Authorization"] for headers in webhook.headers} == {"Bearer token"}


@pytest.mark.parametrize("form", ["ndjson", "ndjson-event"])
def test_siem_format_is_a_line_an_event(webhook: Webhook, form: Format) -> None:
    """Flat, or wrapped in `event`."""
    sender(webhook, format=form).post(EVENTS[:2])
    lines = [json.loads(line) for line in webhook.bodies[0].splitlines()]
    assert [line.get("event", line) for line in lines] == EVENTS[:2]


def test_a_body_can_be_compressed(webhook: Webhook) -> None:
    """With Content-Encoding: gzip."""
    sender(webhook, compress=True).post(EVENTS[:2])
    assert webhook.headers[0]["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(webhook.bodies[0])) == EVENTS[:2]


def test_another_answer_than_200_makes_it_send_again(webhook: Webhook) -> None:
    """Even a 204 is retried; events that are never taken are returned."""
    vendor = sender(webhook)
    webhook.server.faults.add("/hook", answer(503), answer(204))
    assert vendor.broadcast(EVENTS[:10]) == []
    assert vendor.statuses == [503, 204, 200]
    webhook.server.faults.add("/hook", answer(500), times=100)
    assert vendor.broadcast(EVENTS[:10]) == EVENTS[:10]
