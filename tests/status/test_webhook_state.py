"""A webhook's state: true within seconds, and fair to a sender whose posts are good."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import orjson
import pytest

from local.vendors.onelogin_records import onelogin_event
from shared.connectors.onelogin import CONNECTOR as ONELOGIN
from shared.errors import VendorRefused
from shared.health import webhook as health_webhook
from shared.records.timestamps import utc_now
from shared.state.webhook_history import keep_history
from shared.telemetry.run import RunResult, RunState
from shared.webhook.receiver import Webhook
from tests.app import TOKEN, App


@pytest.mark.parametrize("order", ["one flush", "two flushes"])
def test_a_wrong_token_beside_good_posts_is_worth_a_look(app: App, order: str) -> None:
    """Late, with both facts: the wrong token, and when a good post came; a good post ends it."""
    event = onelogin_event(1, utc_now())
    if order == "one flush":
        good = RunResult("OneLogin", "Custom-OneLogin", "g", utc_now(), records=1)
        wrong = replace(
            good,
            started=utc_now(),
            records=0,
            status=RunState.FAILING,
            error=VendorRefused("A request came without the bearer token", status=401),
        )
        app.health.history.add(good)
        app.health.history.add(wrong)
        app.health.history.flush()
    else:
        app.post_events([event])
        app.post_events([event], token="an old one")
    stream = app.stream("OneLogin")
    assert stream["assessment"]["state"] == "late"
    assert "without the bearer token" in stream["assessment"]["reason"]
    assert "right token arrived" in stream["assessment"]["reason"]
    assert stream["last_success"] is not None
    app.post_events([onelogin_event(2, utc_now())])
    assert app.stream("OneLogin")["assessment"]["state"] == "ok"


def test_a_post_shows_within_seconds(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first counts are not kept back for a minute."""
    kept = threading.Event()

    def keep(*arguments: Any) -> None:
        keep_history(*arguments)
        kept.set()

    monkeypatch.setattr(health_webhook, "keep_history", keep)
    receiver = Webhook(ONELOGIN, report=app.health.report)
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert receiver.answer(headers, orjson.dumps([onelogin_event(1, utc_now())])).status == 200
    assert kept.wait(10)
    assert app.stream("OneLogin")["assessment"]["state"] == "ok"
