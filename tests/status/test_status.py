"""The status in each situation, as JSON for a program and as a page for a person."""

from __future__ import annotations

import json
import os
import re
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest

import shared.azure.storage
from local.loopback.faults import FOREVER, answer
from local.vendors.onelogin_records import onelogin_event
from shared.connections.registry import all_settings
from shared.connectors.onelogin import CONNECTOR as ONELOGIN
from shared.connectors.sentinelone import CONNECTOR as SENTINELONE
from shared.delivery.dead_letters import DeadLetters, Refused
from shared.errors import RunFailed
from shared.records.timestamps import isoformat, parse_time, utc_now
from shared.state.checkpoint import TABLE
from shared.telemetry.history import history_after
from shared.telemetry.run import RunResult, RunState
from tests.app import App, ask


def row_of(stream: str) -> dict[str, Any]:
    rows = shared.azure.storage.table(TABLE).list_entities()
    return next(dict(row) for row in rows if row["RowKey"] == f"Custom-{stream}")


def change(stream: str, **changes: Any) -> None:
    shared.azure.storage.table(TABLE).upsert_entity({**row_of(stream), **changes})


def page() -> str:
    answered = ask("GET", accept="text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
    assert answered.mimetype == "text/html"
    return answered.get_body().decode()


def test_all_is_well(app: App) -> None:
    """After a good run of each connector the app is ok, and each stream has its counts."""
    app.fill(60)
    runs = app.poll_sentinelone()
    (run,) = [run for run in runs if run.stream == "Custom-SentinelOneActivities"]
    app.poll_jira()
    app.post_events([onelogin_event(n, utc_now()) for n in range(5)])
    status = app.status()
    assert (status["state"], status["problems"]) == ("ok", [])
    assert status["destination"] == "Logs Ingestion API"
    assert (status["spool"]["messages"], status["poison"]["messages"]) == (0, 0)
    activities = app.stream("SentinelOneActivities")
    assert activities["assessment"]["state"] == "ok"
    assert 0 <= activities["seconds_behind"] < 60
    assert activities["last_error"] is None
    hours = activities["hours"]
    assert len(hours) == 24
    assert sum(hour["records"] for hour in hours) == 60
    assert sum(hour["bytes"] for hour in hours) > 0
    assert sum(hour["bytes_read"] for hour in hours) == run.bytes_read > 0
    assert sum(h["records"] for h in app.stream("OneLogin")["hours"]) == 5


def test_repeats_are_counted(app: App) -> None:
    """A post that comes twice counts as a repeat."""
    event = onelogin_event(1, utc_now())
    app.post_events([event])
    app.post_events([event])
    assert sum(hour["repeats"] for hour in app.stream("OneLogin")["hours"]) == 1


def test_before_the_first_run(app: App) -> None:
    """A new app is late, not failing: its timers have not ticked yet."""
    status = app.status()
    assert status["state"] == "late"
    stream = app.stream("SentinelOneThreats")
    assert stream["assessment"]["reason"] == "No run is on record yet."
    assert "Wait" in stream["assessment"]["advice"]


def test_connectors_without_settings_are_off(app: App) -> None:
    """A connector without settings is off, and does not worsen the app's state."""
    for connector in (SENTINELONE, ONELOGIN):
        for setting in connector.declared().values():
            app.settings.delenv(setting.name, raising=False)
    app.poll_jira()
    status = app.status()
    states = {c["name"]: (c["on"], c["assessment"]["state"]) for c in status["connectors"]}
    assert states == {
        "Jira": (True, "ok"),
        "OneLogin": (False, "off"),
        "SentinelOne": (False, "off"),
    }
    assert status["state"] == "ok"


def test_a_wrong_setting_fails_its_connector(app: App) -> None:
    """A connector with a malformed setting fails with that setting's name and advice."""
    app.settings.setenv("JiraUsername", "no:user")
    jira = next(c for c in app.status()["connectors"] if c["name"] == "Jira")
    assert jira["assessment"]["state"] == "failing"
    assert "JiraUsername" in jira["assessment"]["reason"]
    assert "JiraUsername" in page()


def test_a_failing_stream_says_why_and_what_to_do(app: App) -> None:
    """A vendor's refusal shows its reason, time and class; a good run heals the stream."""
    app.poll_jira()
    app.jira.denied = 403
    with pytest.raises(RunFailed):
        app.poll_jira()
    stream = app.stream("JiraAudit")
    assert stream["assessment"]["state"] == "failing"
    assert "Administer Jira" in stream["assessment"]["reason"]
    assert stream["assessment"]["advice"]
    assert stream["last_error"]["error"] == "VendorRefused"
    assert stream["last_success"] < stream["last_error"]["at"]
    app.jira.denied = 0
    app.poll_jira()
    healed = app.stream("JiraAudit")
    assert healed["assessment"]["state"] == "ok"
    assert healed["last_error"]["error"] == "VendorRefused"


@pytest.mark.parametrize(("minutes", "state"), [(18, "ok"), (25, "failing")])
def test_a_timer_that_does_not_tick_is_noticed(app: App, minutes: int, state: str) -> None:
    """A stream whose last run is older than 20 minutes fails, also if that run was ok."""
    app.poll_jira()
    then = isoformat(utc_now() - timedelta(minutes=minutes))
    history = orjson.loads(row_of("JiraAudit")["history"]) | {"lastRun": then}
    change("JiraAudit", history=orjson.dumps(history).decode(), watermark=then)
    assessment = app.stream("JiraAudit")["assessment"]
    assert assessment["state"] == state
    if state == "failing":
        assert assessment["reason"].startswith("It has not run for 25 minutes")


def test_an_inventory_stream_is_due_hourly(app: App) -> None:
    """Agents polled 50 minutes ago are ok; two hours ago, failing."""
    app.poll_sentinelone()
    for minutes, state in ((50, "ok"), (120, "failing")):
        then = isoformat(utc_now() - timedelta(minutes=minutes))
        history = orjson.loads(row_of("SentinelOneAgents")["history"]) | {"lastRun": then}
        change("SentinelOneAgents", history=orjson.dumps(history).decode(), watermark=then)
        assert app.stream("SentinelOneAgents")["assessment"]["state"] == state


def test_an_unlicensed_stream_is_off_and_says_what_it_lacks(app: App) -> None:
    """A refused optional stream is off with its reason; the connector stays ok."""
    app.sentinelone.denied["devicecontrol"] = 403
    app.poll_sentinelone()
    assessment = app.stream("SentinelOneDeviceControl")["assessment"]
    assert assessment["state"] == "off"
    assert "licence" in assessment["reason"]
    sentinelone = next(c for c in app.status()["connectors"] if c["name"] == "SentinelOne")
    assert sentinelone["assessment"]["state"] == "ok"


def test_streams_left_out_are_named(app: App) -> None:
    """Streams left out by the settings are off, and share a line of the page."""
    app.settings.setenv("SentinelOneStreams", "threats")
    assert app.stream("SentinelOneActivities")["assessment"]["state"] == "off"
    assert "Left out by the settings: Alerts, UnifiedAlerts, Activities" in page()


def test_a_full_first_read_is_not_behind_by_decades(app: App) -> None:
    """An inventory's first window begins at the epoch: its position is no event's time."""
    app.poll_sentinelone()
    change("SentinelOneAgents", watermark="", position="1970-01-01T00:00:00Z")
    assert app.stream("SentinelOneAgents")["seconds_behind"] is None


def test_another_versions_checkpoint_fails_its_stream(app: App) -> None:
    """A row that this version cannot read fails its stream, not the page."""
    app.poll_jira()
    change("JiraAudit", format=99, history="not json", watermark="yesterday")
    assessment = app.stream("JiraAudit")["assessment"]
    assert assessment["state"] == "failing"
    assert "another version" in assessment["reason"]


def test_events_in_the_spool_are_counted_with_their_age(app: App) -> None:
    """While Azure Monitor is down OneLogin is late, and the spool counts its messages."""
    app.monitor.faults.add("Custom-OneLogin", answer(503), times=FOREVER)
    app.post_events([onelogin_event(1, utc_now())])
    status = app.status()
    assert status["spool"]["messages"] == 1
    assert status["spool"]["oldest_seconds"] >= 0
    assert app.stream("OneLogin")["assessment"]["state"] == "late"


def test_a_wrong_token_of_the_sender_fails_the_stream(app: App) -> None:
    """OneLogin with an old token fails its stream, by the setting's name; a good post heals it."""
    event = onelogin_event(1, utc_now())
    app.post_events([event], token="an old one")
    assessment = app.stream("OneLogin")["assessment"]
    assert assessment["state"] == "failing"
    assert "OneLoginBearerToken" in assessment["reason"]
    app.post_events([event])
    assert app.stream("OneLogin")["assessment"]["state"] == "ok"


def test_a_webhook_that_hears_nothing_for_a_day_is_late(app: App) -> None:
    """A day without events is late; an hour is ok."""
    for hours, state in ((1, "ok"), (30, "late")):
        run = RunResult("OneLogin", "Custom-OneLogin", "r", utc_now() - timedelta(hours=hours))
        shared.azure.storage.table(TABLE).upsert_entity(
            {
                "PartitionKey": "OneLogin:webhook",
                "RowKey": "Custom-OneLogin",
                "history": history_after("", run),
            }
        ) if hours > 1 else app.post_events([onelogin_event(1, utc_now())])
        assert app.stream("OneLogin")["assessment"]["state"] == state


def test_dead_letters_are_counted_by_stream_and_cause(app: App) -> None:
    """The counts come from metadata: no content of a dead letter is shown."""
    secret = Refused(b'{"user":"Ada Lovelace"}', 400, "InvalidRecord: 'Ada Lovelace' is no number")
    DeadLetters().put("Custom-OneLogin", [secret, secret])
    DeadLetters().put("Custom-OneLogin", [Refused(b"7", 0, "An element is no object")])
    status = app.status()
    counts = {c["cause"]: c["records"] for c in status["dead_letters"]["counts"]}
    assert counts == {"HTTP 400 InvalidRecord": 2, "An element is no object": 1}
    assert "3 records" in status["problems"][0]["reason"]
    assert "Lovelace" not in json.dumps(status)
    assert "Lovelace" not in page()


def test_a_token_about_to_end_is_a_problem(app: App) -> None:
    """A token that expires within two weeks is a problem."""
    app.sentinelone.token_expires_at = utc_now() + timedelta(days=5)
    status = app.status()
    sentinelone = next(c for c in status["connectors"] if c["name"] == "SentinelOne")
    told = parse_time(sentinelone["token_expires"])
    assert isinstance(told, datetime)
    assert abs(told - app.sentinelone.token_expires_at) < timedelta(seconds=1)
    assert "The token of SentinelOne expires in 4 days" in status["problems"][0]["reason"]


def test_the_page_comes_while_storage_is_down(app: App, storage: str) -> None:
    """Without its storage account the app is failing, and counts are unknown; nothing is raised."""
    app.settings.setenv("AzureWebJobsStorage", re.sub(r":\d+/", ":9/", storage))
    shared.azure.storage.forget_clients()
    status = app.status()
    assert status["state"] == "failing"
    assert [p["reason"] for p in status["problems"] if "torage" in p["reason"]]
    assert status["spool"]["messages"] is None
    assert status["dead_letters"]["blobs"] is None


def test_the_page_comes_without_a_single_setting(app: App) -> None:
    """A new function app without settings is failing, and names the settings to set."""
    for name in [s.name for s in all_settings() if s.name in os.environ]:
        app.settings.delenv(name)
    shared.azure.storage.forget_clients()
    status = app.status()
    assert status["state"] == "failing"
    assert any("LogsIngestionEndpoint" in problem["reason"] for problem in status["problems"])


def test_no_secret_is_shown(app: App) -> None:
    """Neither the page nor the JSON contains a secret, also after a refused token."""
    app.sentinelone.token = "another"
    with pytest.raises(RunFailed):
        app.poll_sentinelone()
    secrets = [os.environ[s.name] for s in all_settings() if s.secret and s.name in os.environ]
    shown = page() + json.dumps(app.status())
    assert len(secrets) >= 4
    assert [secret for secret in secrets if secret in shown] == []


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.tags |= {f"{tag}.{name}" for name, _ in attrs if name.startswith("on")}


def test_text_from_a_vendor_is_escaped(app: App) -> None:
    """Markup in an error, a name or a cause is shown as text."""
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    app.poll_jira()
    run = RunResult(
        connector="Jira",
        stream="Custom-JiraAudit",
        run_id="r",
        started=utc_now(),
        status=RunState.FAILING,
        error=ValueError(evil),
    )
    change("JiraAudit", history=history_after("", run))
    DeadLetters().put("Custom-<b>", [Refused(b"1", 0, f"<i>{evil}")])
    parser = _Tags()
    parser.feed(page())
    assert parser.tags.isdisjoint({"script", "img", "i", "b.onerror", "img.onerror"})
    assert "&lt;script&gt;" in page()


@pytest.mark.parametrize(
    ("accept", "params", "mimetype"),
    [
        ("text/html", {}, "text/html"),
        ("*/*", {}, "application/json"),
        ("", {}, "application/json"),
        ("application/json", {}, "application/json"),
        ("text/html", {"format": "json"}, "application/json"),
        ("*/*", {"format": "html"}, "text/html"),
    ],
)
def test_content_negotiation(app: App, accept: str, params: dict[str, str], mimetype: str) -> None:
    """A browser gets the page, a program JSON; ``format`` overrides both."""
    answered = ask("GET", params, accept=accept)
    assert (answered.status_code, answered.mimetype) == (200, mimetype)
    assert answered.headers["Cache-Control"] == "no-store"
    assert answered.headers["Referrer-Policy"] == "no-referrer"


def test_a_button_posts_to_the_pages_own_address(app: App) -> None:
    """A form has no action, so that the key stays in the address; the page shows the result."""
    shown = page()
    assert shown.count('<form method="post">') == 4
    assert "action=" not in shown
    pressed = ask("POST", {"code": "k"}, accept="text/html", body=b"test=jira")
    assert pressed.status_code == 303
    address = dict(parse_qsl(pressed.headers["Location"].removeprefix("?")))
    assert address["code"] == "k"
    # A reload asks for the result again, and presses no button.
    assert ask("GET", address, accept="text/html").get_body() != b""
    text = ask("GET", address, accept="text/html").get_body().decode()
    assert "Connection test: jira" in text
    assert "May be read" in text
