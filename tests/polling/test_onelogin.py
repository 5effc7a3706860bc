"""OneLogin's API as the way in: through the same engine, and posts are not taken."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import answer, first
from local.vendors.onelogin_api import PATH, OneLoginApi
from local.vendors.onelogin_records import listed_event, onelogin_event
from shared.connectors.onelogin import CONNECTOR
from shared.diagnostics.connection_test import check_connections
from shared.errors import RunFailed
from shared.polling import run as polling_run
from shared.polling import stream_poll
from shared.polling.handing_out import tick
from shared.polling.run import poll
from shared.records.timestamps import utc_now
from shared.telemetry.run import RunResult
from tests.app import TOKEN, App, ask

STREAM = "Custom-OneLogin"
HEALTH = "Custom-ConnectorHealth"

pytestmark = pytest.mark.usefixtures("settings_env")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[OneLoginApi]:
    """An account whose API is the way in."""
    with OneLoginApi() as running:
        for name, value in running.settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("OneLoginBearerToken", raising=False)
        yield running


def add(account: OneLoginApi, numbers: range, **how_long: float) -> None:
    account.add(listed_event(n, utc_now() - timedelta(**how_long)) for n in numbers)


def arrived(monitor: AzureMonitor) -> Counter[str]:
    return Counter(str(record["id"]) for record in monitor.records(STREAM))


def once(*spans: range) -> Counter[str]:
    return Counter(str(9_000_000 + n) for span in spans for n in span)


def test_events_arrive_once(account: OneLoginApi, azure_monitor: AzureMonitor) -> None:
    """However often the timer ticks; no token of posts is needed."""
    add(account, range(120), hours=3)
    poll(CONNECTOR)
    poll(CONNECTOR)
    assert arrived(azure_monitor) == once(range(120))
    record = azure_monitor.records(STREAM)[0]
    assert record["TimeGenerated"][:23] == record["created_at"][:23]


def test_late_and_tied_events_arrive_once(
    account: OneLoginApi, azure_monitor: AzureMonitor
) -> None:
    """An event of minutes ago that appears now, beside others of its very moment."""
    moment = utc_now() - timedelta(minutes=4)
    account.add(listed_event(n, moment) for n in range(60))
    poll(CONNECTOR)
    account.add(listed_event(n, moment) for n in range(60, 65))
    poll(CONNECTOR)
    poll(CONNECTOR)
    assert arrived(azure_monitor) == once(range(65))


def test_a_cursor_refused_half_way_repeats_and_loses_nothing(
    account: OneLoginApi, azure_monitor: AzureMonitor
) -> None:
    """The walk goes on from the last event's time; its tied events are known."""
    begun = utc_now() - timedelta(hours=5)
    account.add(listed_event(n, begun + timedelta(seconds=n // 3)) for n in range(300))
    with_cursor = first(list).only(lambda request: "after_cursor" in request.query)
    refused = answer(400, "{}").only(lambda request: "after_cursor" in request.query)
    account.faults.add(PATH, with_cursor, with_cursor, refused)
    poll(CONNECTOR)
    assert arrived(azure_monitor) == once(range(300))


def status_of(connector: str) -> dict[str, Any]:
    """The connector's part of the status page's JSON."""
    found = json.loads(ask("GET").get_body())["connectors"]
    return next(each for each in found if each["name"] == connector)


class Throttled:
    """An account ten minutes into an hour whose calls are used up after three pages of five."""

    def __init__(self, account: OneLoginApi, monitor: AzureMonitor) -> None:
        self.hour = utc_now().replace(minute=10, second=0, microsecond=0)
        self.account, self.monitor = account, monitor
        account.server.now = lambda: self.now
        account.calls_an_hour = 3
        self.now = self.hour
        begun = self.hour - timedelta(hours=5)
        account.add(listed_event(n, begun + timedelta(seconds=n)) for n in range(250))

    def tick(self, **later: float) -> RunResult:
        """A tick so long after the first one, by the app's and the account's clock."""
        self.now = self.hour + timedelta(**later)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(polling_run, "utc_now", lambda: self.now)
            (result,) = poll(CONNECTOR)
        return result

    def asked(self) -> int:
        """How many requests for events the account has had."""
        return self.account.server.count(PATH)


@pytest.fixture
def throttled(account: OneLoginApi, azure_monitor: AzureMonitor) -> Throttled:
    return Throttled(account, azure_monitor)


def test_a_backlog_beyond_the_hours_calls_waits_for_the_next_hour(throttled: Throttled) -> None:
    """What the limit allowed is delivered and committed; the rest follows, once: no failure."""
    result = throttled.tick()
    renewal = f"{throttled.hour + timedelta(minutes=50):%H:%M}"
    assert (result.status, result.records) == ("catching up", 150)
    assert f"(HTTP 429): the rest waits until {renewal} UTC" in result.message
    assert arrived(throttled.monitor) == once(range(150))
    throttled.account.calls_an_hour = 100
    assert throttled.tick(minutes=51).records == 100
    throttled.tick(minutes=56)
    assert arrived(throttled.monitor) == once(range(250))


def test_a_vendor_that_throttles_is_left_alone_until_its_limit_renews(
    throttled: Throttled,
) -> None:
    """The ticks until then ask nothing, and say until when the rest waits: row and page."""
    first = throttled.tick()
    asked = throttled.asked()
    for minutes in range(5, 50, 5):
        assert throttled.tick(minutes=minutes).message == first.message
    assert throttled.asked() == asked
    rows = [r for r in throttled.monitor.records(HEALTH) if r["Connector"] == "OneLogin"]
    assert {(row["Status"], row["Message"]) for row in rows} == {("catching up", first.message)}
    assert len(rows) == 10
    (stream,) = status_of("OneLogin")["streams"]
    assert stream["assessment"]["state"] == "catching up"
    assert first.message in stream["assessment"]["reason"]
    assert throttled.tick(minutes=50).records == 100
    (stream,) = status_of("OneLogin")["streams"]
    assert "429" not in stream["assessment"]["reason"]


def test_a_limit_that_lets_nothing_through_for_hours_is_failing(throttled: Throttled) -> None:
    """Another program uses all of the account's calls: after two hours without a record, told."""
    throttled.tick()
    throttled.account.calls_an_hour = 0
    for minutes in range(5, 120, 5):
        assert throttled.tick(minutes=minutes).status == "catching up"
    for minutes in (125, 130):
        with pytest.raises(RunFailed, match="let nothing new through since"):
            throttled.tick(minutes=minutes)
    (stream,) = status_of("OneLogin")["streams"]
    assert stream["assessment"]["state"] == "failing"
    throttled.account.calls_an_hour = 100
    assert throttled.tick(minutes=171).status in ("ok", "late")
    assert arrived(throttled.monitor) == once(range(250))


def test_a_limit_that_lets_some_through_each_hour_is_catching_up(throttled: Throttled) -> None:
    """However many hours a backlog takes: each one brings records."""
    throttled.account.calls_an_hour = 1
    for hours in range(4):
        assert throttled.tick(hours=hours).status == "catching up"
    assert arrived(throttled.monitor) == once(range(200))


@pytest.mark.parametrize("in_the_next_run", [False, True])
def test_a_cursor_refused_before_a_late_event_costs_neither_a_loss_nor_a_repeat(
    throttled: Throttled, *, in_the_next_run: bool
) -> None:
    """In a backlog's middle, an event within the overlap: the walk starts again before it."""
    account = throttled.account
    last = throttled.hour - timedelta(hours=5) + timedelta(seconds=249)
    account.add([listed_event(250, last - timedelta(minutes=9))])
    account.add(listed_event(n, last + timedelta(seconds=n)) for n in range(251, 400))
    account.calls_an_hour = 5 if in_the_next_run else 100
    with_cursor = first(list).only(lambda request: "after_cursor" in request.query)
    refused = answer(400, "{}").only(lambda request: "after_cursor" in request.query)
    if in_the_next_run:
        throttled.tick()
        assert arrived(throttled.monitor) == once(range(250))
        account.calls_an_hour = 100
        account.faults.add(PATH, refused)
    else:
        account.faults.add(PATH, *[with_cursor] * 4, refused)
    throttled.tick(minutes=51)
    assert account.faults.pending() == 0
    assert arrived(throttled.monitor) == once(range(400))


def test_more_events_of_one_moment_than_a_run_can_read_arrive(throttled: Throttled) -> None:
    """Each hour's calls go on behind the cursor of the last one's."""
    account = throttled.account
    account.calls_an_hour = 3
    moment = throttled.hour - timedelta(hours=6)
    account.add(listed_event(n, moment) for n in range(250, 700))
    hours = 0
    while throttled.tick(hours=hours).waits_until:
        hours += 1
        assert hours < 6
    assert hours >= 4
    assert arrived(throttled.monitor) == once(range(700))


@pytest.mark.parametrize("wrong", [timedelta(minutes=10), timedelta(minutes=-10)])
def test_a_host_with_a_wrong_clock_skips_no_event(
    account: OneLoginApi, azure_monitor: AzureMonitor, wrong: timedelta
) -> None:
    """The watermark is the lesser of the window's end and OneLogin's own clock."""
    with pytest.MonkeyPatch.context() as host:
        for module in (stream_poll, polling_run):
            host.setattr(module, "utc_now", lambda: utc_now() + wrong)
        add(account, range(20), minutes=5)
        poll(CONNECTOR)
        add(account, range(20, 30), seconds=1)
        poll(CONNECTOR)
    add(account, range(30, 33), minutes=9)
    poll(CONNECTOR)
    assert arrived(azure_monitor) == once(range(33))


def test_posts_are_answered_503_and_told(
    account: OneLoginApi, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a valid token too: an event must not come in by two ways."""
    assert account.url
    monkeypatch.setenv("OneLoginBearerToken", TOKEN)
    assert app.post_events([onelogin_event(1, utc_now())]).status == 503


def test_with_the_webhook_alone_the_timer_asks_nobody(
    account: OneLoginApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick is then no failure, and no request."""
    for name in account.settings:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OneLoginBearerToken", TOKEN)
    tick(CONNECTOR)
    assert account.requests == []


def test_missing_settings_of_the_api_are_named(
    account: OneLoginApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each by its own name, in one error."""
    assert account.url
    monkeypatch.delenv("OneLoginUrl")
    monkeypatch.delenv("OneLoginClientSecret")
    with pytest.raises(Exception, match=r"OneLoginUrl is not set.*OneLoginClientSecret is not set"):
        poll(CONNECTOR)


def test_several_accounts_are_several_connections(
    account: OneLoginApi, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A named one has its own address and credential, and inherits the way in."""
    with OneLoginApi() as other:
        for name in ("OneLoginUrl", "OneLoginClientId", "OneLoginClientSecret"):
            monkeypatch.setenv(f"{name}__emea", other.settings[name])
        add(account, range(3), hours=1)
        add(other, range(3, 5), hours=1)
        poll(CONNECTOR)
        poll(CONNECTOR, "emea")
    whose = {
        str(record["id"]): record.get("AdditionalFields", {}).get("Connection")
        for record in azure_monitor.records(STREAM)
    }
    named = dict.fromkeys(once(range(3, 5)), "emea")
    assert whose == dict.fromkeys(once(range(3)), None) | named


def test_an_account_given_twice_is_refused(
    account: OneLoginApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two connections of one address and client would bring every event twice."""
    for name in ("OneLoginUrl", "OneLoginClientId", "OneLoginClientSecret"):
        monkeypatch.setenv(f"{name}__emea", account.settings[name])
    with pytest.raises(Exception, match="OneLoginUrl__emea and OneLoginClientId__emea are those"):
        poll(CONNECTOR, "emea")


def test_the_connection_test_tells_token_and_permission(account: OneLoginApi) -> None:
    """A token without the scope is a token all the same."""
    account.scope = False
    report = check_connections("onelogin")
    results = {step.name: step.result for step in report.steps}
    assert results["sign-in"] == "passed"
    assert results["onelogin"] == "failed"
    failed = next(step for step in report.steps if step.name == "onelogin")
    assert "Read Users" in failed.detail
    account.scope = True
    asked = account.server.count(PATH)
    report = check_connections("onelogin")
    assert {step.result for step in report.steps if step.name == "onelogin"} == {"passed"}
    assert account.server.count(PATH) == asked + 1
