"""With the webhook and the API's settings: each hour's listed and posted events are compared."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.vendors.onelogin_api import PATH, OneLoginApi
from local.vendors.onelogin_records import listed_event, onelogin_event
from shared.azure import storage
from shared.connectors.onelogin import CONNECTOR
from shared.errors import RunFailed
from shared.health.webhook import health_of, report_post
from shared.polling import run as polling_run
from shared.polling.run import poll
from shared.records.timestamps import isoformat
from shared.runtime.process import reset_process
from shared.state.checkpoint import TABLE
from shared.state.posted_hours import (
    HOUR,
    ROW,
    add_posted,
    hour_name,
    keep_listed,
    read_hours,
)
from shared.state.webhook_history import webhook_partition
from shared.webhook.receiver import Webhook
from tests.app import App, ask

FIRST = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=9)
BEGUN = FIRST - timedelta(minutes=30)
NAMES = [hour_name(FIRST), hour_name(FIRST + HOUR)]


class Watched:
    """An account that posts some of its events, and lists all; its own clock is the app's too."""

    def __init__(self, app: App, api: OneLoginApi, monitor: AzureMonitor) -> None:
        self.app, self.api, self._monitor = app, api, monitor

    def happen(self, numbers: range, hour: datetime) -> list[dict[str, Any]]:
        """Let events happen within an hour; return them as they would be posted."""
        moments = [hour + timedelta(seconds=n) for n in numbers]
        self.api.add(listed_event(n, at) for n, at in zip(numbers, moments, strict=True))
        return [onelogin_event(n, at) for n, at in zip(numbers, moments, strict=True)]

    def post(self, events: Sequence[dict[str, Any]]) -> None:
        """Post the events; the counts are written at once."""
        assert self.app.post_events(list(events)).status == 200

    def tick(self, at: datetime, connection: str = "") -> list[str]:
        """A tick of the timer at that time; what its results say."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(polling_run, "utc_now", lambda: at)
            return [run.message for run in poll(CONNECTOR, connection)]

    def health(self) -> list[tuple[str, str]]:
        """Status and message of the health rows that the timer posted."""
        rows = self._monitor.records("Custom-ConnectorHealth")
        return [(row["Status"], row["Message"]) for row in rows if "lists" in row["Message"]]


@pytest.fixture
def watched(
    app: App, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Watched]:
    with OneLoginApi() as api:
        for name in ("OneLoginUrl", "OneLoginClientId", "OneLoginClientSecret"):
            monkeypatch.setenv(name, api.settings[name])
        world = Watched(app, api, azure_monitor)
        assert world.tick(BEGUN) == []
        yield world


def test_an_hour_that_agrees_costs_a_call_and_says_nothing(watched: Watched) -> None:
    """Up to fifty events an hour are one call; nothing is polled into the table."""
    watched.post(watched.happen(range(40), FIRST))
    assert watched.tick(FIRST + HOUR + timedelta(minutes=14)) == []
    assert watched.api.server.count(PATH) == 0
    assert watched.tick(FIRST + HOUR + timedelta(minutes=15)) == []
    assert watched.api.server.count(PATH) == 1
    assert watched.tick(FIRST + HOUR + timedelta(minutes=20)) == []
    assert watched.api.server.count(PATH) == 1


def test_posts_that_never_came_are_told_with_both_numbers_and_the_hours(watched: Watched) -> None:
    """After a stop over hours: a health row, and the status page until late posts come."""
    watched.post(watched.happen(range(10), FIRST)[:7])
    watched.happen(range(10, 15), FIRST + HOUR)
    told = watched.tick(FIRST + 3 * HOUR)
    assert told == [
        "OneLogin's API lists 15 events, and posts brought 7 of them "
        f"({NAMES[0]}: 10 listed, 7 posted, {NAMES[1]}: 5 listed, 0 posted)"
    ]
    assert watched.health() == [("late", told[0])]
    assert watched.tick(FIRST + 3 * HOUR + timedelta(minutes=5)) == []


def test_the_page_shows_what_is_missing(watched: Watched) -> None:
    """Both numbers, by the hour."""
    watched.post(watched.happen(range(10), FIRST)[:7])
    watched.tick(FIRST + 2 * HOUR)
    stream = watched.app.stream("OneLogin")
    assert stream["assessment"]["state"] == "late"
    assert f"{NAMES[0]}: 10 listed, 7 posted" in stream["assessment"]["reason"]


def test_late_posts_count_in_their_own_hour_once(watched: Watched) -> None:
    """Hours later and twice, by another instance: the hour misses nothing then."""
    events = watched.happen(range(10), FIRST)
    watched.post(events[:7])
    watched.tick(FIRST + 2 * HOUR)
    assert read_hours("OneLogin").missing == {hour_name(FIRST): (10, 7)}
    watched.post(events[7:9])
    watched.post(events[7:9])
    assert read_hours("OneLogin").missing == {hour_name(FIRST): (10, 9)}
    reset_process()
    watched.post(events[9:])
    assert read_hours("OneLogin").missing == {}


def test_several_pages_of_one_hour_are_counted(watched: Watched) -> None:
    """Fifty a call; an event that another hour has is not this one's."""
    watched.post(watched.happen(range(120), FIRST))
    watched.happen(range(120, 121), FIRST + HOUR - timedelta(seconds=120))
    assert watched.tick(FIRST + 2 * HOUR) == []
    assert watched.api.server.count(PATH) == 3


def test_an_hour_that_misses_events_is_fetched(
    watched: Watched, azure_monitor: AzureMonitor
) -> None:
    """All that the API lists of that hour comes into the table; the page says what may repeat."""
    watched.post(watched.happen(range(120), FIRST)[:100])
    watched.happen(range(3600, 3610), FIRST)
    watched.tick(FIRST + 2 * HOUR)
    answer = ask("POST", {"fetch": "onelogin", "hour": NAMES[0]})
    assert answer.status_code == 200
    text = answer.get_body().decode()
    assert f"120 events of {NAMES[0]} came" in text
    assert "Posts had brought 100 of that hour" in text
    listed = [r for r in azure_monitor.records("Custom-OneLogin") if "id" in r]
    assert len({record["id"] for record in listed}) == len(listed) == 120
    assert read_hours("OneLogin").missing == {}


def test_counting_waits_for_the_limit_of_calls(watched: Watched) -> None:
    """Hours counted before are told; the vendor is left alone, then the others are counted."""
    api = watched.api
    watched.happen(range(10), FIRST)
    watched.happen(range(10, 15), FIRST + HOUR)
    api.calls_an_hour = 1
    now = FIRST + 3 * HOUR + timedelta(minutes=20)
    api.server.now = lambda: now
    assert watched.tick(now) == [
        f"OneLogin's API lists 10 events, and posts brought 0 of them "
        f"({NAMES[0]}: 10 listed, 0 posted)"
    ]
    asked = api.server.count(PATH)
    (waits,) = watched.tick(now + timedelta(minutes=5))
    assert f"the rest waits until {now + timedelta(minutes=40):%H:%M} UTC" in waits
    assert api.server.count(PATH) == asked
    api.calls_an_hour = 100
    now += timedelta(minutes=40)
    (told,) = watched.tick(now)
    assert "5 events" in told


def test_counting_that_waits_for_hours_is_failing(watched: Watched) -> None:
    """Another program has all of the account's calls."""
    now = FIRST + 2 * HOUR
    api = watched.api
    api.server.now, api.calls_an_hour = lambda: now, 0
    assert "429" in watched.tick(now)[0]
    now += timedelta(hours=1)
    assert "429" in watched.tick(now)[0]
    now += timedelta(hours=1, minutes=5)
    with pytest.raises(RunFailed, match="let nothing new through"):
        watched.tick(now)


def test_a_button_fetches_the_hour_beside_its_numbers(
    watched: Watched, azure_monitor: AzureMonitor
) -> None:
    """Its form has all that the fetch needs; the page then says how many came and may repeat."""
    watched.post(watched.happen(range(10), FIRST)[:7])
    watched.happen(range(10, 12), FIRST + HOUR)
    watched.tick(FIRST + 3 * HOUR)
    shown = ask("GET", accept="text/html").get_body().decode()
    assert f"Fetch {NAMES[0]}: 10 listed, 7 posted</button>" in shown
    assert f"Fetch {NAMES[1]}: 2 listed, 0 posted</button>" in shown
    form = shown[: shown.index("Fetch ")].rpartition('<form method="post">')[2]
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    assert fields == {"connection": "", "fetch": "OneLogin", "hour": NAMES[0]}
    pressed = ask("POST", {"code": "k"}, accept="text/html", body=urlencode(fields).encode())
    assert pressed.status_code == 303
    result = dict(parse_qsl(pressed.headers["Location"].removeprefix("?")))
    assert result["code"] == "k"
    after = ask("GET", result, accept="text/html").get_body().decode()
    assert f"10 events of {NAMES[0]} came" in after
    assert "Posts had brought 7 of that hour: these may repeat" in after
    assert f"Fetch {NAMES[0]}" not in after
    assert f"Fetch {NAMES[1]}" in after
    assert len([r for r in azure_monitor.records("Custom-OneLogin") if "id" in r]) == 10


@pytest.mark.usefixtures("watched")
def test_a_stop_of_days_has_a_button_for_each_of_its_first_hours() -> None:
    """A day's; the others follow once those are fetched."""
    for hours in range(30):
        keep_listed("OneLogin", "", FIRST - (30 - hours) * HOUR, (1, 0))
    shown = ask("GET", accept="text/html").get_body().decode()
    assert shown.count(": 1 listed, 0 posted</button>") == 24
    assert "and 6 later hours" in shown


def test_an_hour_that_was_not_read_whole_is_one_to_fetch_again(watched: Watched) -> None:
    """The account's calls are used up in its middle."""
    watched.happen(range(120), FIRST)
    watched.tick(FIRST + 2 * HOUR)
    watched.api.server.now = lambda: FIRST + 3 * HOUR + timedelta(minutes=10)
    watched.api.calls_an_hour = 2
    asked = {"fetch": "onelogin", "hour": NAMES[0]}
    refused = ask("POST", asked)
    assert refused.status_code == 503
    assert "fetch it again" in refused.get_body().decode()
    assert read_hours("OneLogin").missing == {NAMES[0]: (120, 0)}
    watched.api.calls_an_hour = 100
    assert ask("POST", asked).status_code == 200
    assert read_hours("OneLogin").missing == {}


def test_a_stop_of_a_day_is_told_with_each_of_its_hours(watched: Watched) -> None:
    """The app came back after a day; only what was posted before and after it had come."""
    day = FIRST - timedelta(days=1)
    reset_counts_to(day)
    for number in range(25):
        first = number * 3
        moment = day + number * HOUR - timedelta(seconds=first)
        events = watched.happen(range(first, first + 3), moment)
        if number == 24:
            watched.post(events)
    (told,) = watched.tick(FIRST + 2 * HOUR)
    assert "lists 72 events, and posts brought 0 of them" in told
    assert told.count("3 listed, 0 posted") == 24
    assert hour_name(FIRST) not in told


def reset_counts_to(hour: datetime) -> None:
    """The row of an app that counted up to ``hour``, and has been stopped since."""
    table = storage.table(TABLE)
    row = table.get_entity(webhook_partition("OneLogin"), ROW)
    table.update_entity({**row, "counted_to": isoformat(hour)})


@pytest.mark.usefixtures("watched")
def test_posts_of_several_instances_at_once_are_all_counted() -> None:
    """Each writes its counts into the one row, while others do."""
    with ThreadPoolExecutor(3) as instances:
        adding = [
            instances.submit(add_posted, "OneLogin", "", {f"{NAMES[0]} 88211": 2}, FIRST)
            for _ in range(3)
        ]
        for each in adding:
            each.result()
    assert read_hours("OneLogin").posted_of(NAMES[0]) == 6


def test_each_account_is_counted_by_itself(
    watched: Watched, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own API and its own posts; the hour of the one that misses some is fetched for it."""
    monkeypatch.setenv("OneLoginBearerToken__emea", "a-second-token-of-emea")
    webhook = Webhook(CONNECTOR, report=report_post)
    with OneLoginApi() as other:
        for name in ("OneLoginUrl", "OneLoginClientId", "OneLoginClientSecret"):
            monkeypatch.setenv(f"{name}__emea", other.settings[name])
        assert watched.tick(BEGUN, "emea") == []
        watched.post(watched.happen(range(4), FIRST))
        other.add(listed_event(n, FIRST + timedelta(seconds=n)) for n in range(6))
        posted = [onelogin_event(n, FIRST + timedelta(seconds=n)) for n in range(5)]
        token = {"authorization": "Bearer a-second-token-of-emea"}
        assert webhook.answer(token, orjson.dumps(posted)).status == 200
        health_of("Custom-OneLogin", "emea").history.flush()
        later = FIRST + 2 * HOUR
        assert watched.tick(later) == []
        (told,) = watched.tick(later, "emea")
        assert "lists 6 events, and posts brought 5 of them" in told
        asked = {"fetch": "onelogin", "hour": NAMES[0], "connection": "emea"}
        assert ask("POST", asked).status_code == 200
    fetched = [r for r in azure_monitor.records("Custom-OneLogin") if "id" in r]
    assert [each["AdditionalFields"]["Connection"] for each in fetched] == ["emea"] * 6


@pytest.mark.parametrize("hour", ["", "yesterday", "2026-01-01T10:30Z", "2999-01-01T10:00Z"])
def test_what_is_no_hour_that_is_over_fetches_nothing(watched: Watched, hour: str) -> None:
    """Said with 400, before the vendor is asked."""
    assert ask("POST", {"fetch": "onelogin", "hour": hour}).status_code == 400
    assert watched.api.server.count(PATH) == 0
