"""The rules that watch the connectors themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.rules import files
from tests.rules.sentinel import HOUR, MINUTE, Sentinel
from tests.rules.vendors import HEALTH, health

pytestmark = pytest.mark.slow

SILENT = files.rule("HealthConnectorSilent")
FAILING = files.rule("HealthConnectorFailing")
SET_ASIDE = files.rule("HealthDeadLetters")
TOKEN = files.rule("HealthTokenExpiring")
POSTS = files.rule("HealthPostsMissing")


def runs(
    sentinel: Sentinel, *minutes: float, arrival: datetime | None = None, **fields: Any
) -> None:
    """Runs that many minutes after noon, whose rows arrive at once, or at ``arrival``."""
    for number in minutes:
        at = sentinel.noon + number * MINUTE
        sentinel.arrives(arrival or at, HEALTH, health(at, **fields))


def looks(sentinel: Sentinel, *minutes: float) -> None:
    """Has rules run that many minutes after noon too: another connector, off, reports."""
    for number in minutes:
        at = sentinel.noon + number * MINUTE
        sentinel.arrives(at, HEALTH, health(at, Connector="Other", Stream="-", Status="off"))


def test_an_hour_of_silence_is_one_alert(sentinel: Sentinel) -> None:
    """A connector whose last row is an hour old is one alert, however long the silence lasts."""
    runs(sentinel, 0, 5, 10)
    looks(sentinel, 60, 75, 120, 600)
    (alert,) = sentinel.alerts(SILENT)
    assert alert["Connector"] == "SentinelOne"


def test_fifty_minutes_of_silence_are_none(sentinel: Sentinel) -> None:
    """A connector that reports again within the hour raises no alert."""
    runs(sentinel, 0, 50, 100, 150)
    looks(sentinel, 60, 110)
    assert sentinel.alerts(SILENT) == []


def test_an_old_row_sent_again_does_not_end_a_silence(sentinel: Sentinel) -> None:
    """A repeat of the last run's row is no sign of life."""
    runs(sentinel, 0)
    runs(sentinel, 0, arrival=sentinel.noon + 30 * MINUTE)
    looks(sentinel, 60, 75, 90, 105)
    assert [alert["LastArrived"] for alert in sentinel.alerts(SILENT)] == [sentinel.noon]


def test_a_row_that_arrives_late_ends_a_silence(sentinel: Sentinel) -> None:
    """A run whose row arrives late shows that the connector lives, so there is no alert."""
    runs(sentinel, 0)
    runs(sentinel, 5, arrival=sentinel.noon + 55 * MINUTE)
    looks(sentinel, 60)
    assert sentinel.alerts(SILENT) == []


def test_a_quiet_webhook_is_none(sentinel: Sentinel) -> None:
    """OneLogin posts when there are events, so an hour without is nothing."""
    runs(sentinel, 0, 5, Connector="OneLogin", Stream="Custom-OneLogin")
    looks(sentinel, 60, 75)
    assert sentinel.alerts(SILENT) == []


def test_a_webhook_that_is_busy_around_the_clock_is_missed(sentinel: Sentinel) -> None:
    """Where OneLogin posted in twenty hours one after another, an hour without is an alert."""
    runs(sentinel, *range(0, 20 * 60, 60), Connector="OneLogin", Stream="Custom-OneLogin")
    looks(sentinel, 20 * 60)
    late = sentinel.alerts(SILENT, since=sentinel.noon + 19 * HOUR)
    assert [alert["Connector"] for alert in late] == ["OneLogin"]


def test_a_stream_that_goes_on_failing_is_one_alert(sentinel: Sentinel) -> None:
    """A quarter of an hour of failing runs is one alert that names streams and causes."""
    runs(sentinel, 0)
    cause: dict[str, Any] = {
        "Status": "failing",
        "ErrorClass": "VendorUnavailable",
        "Message": "503 for long",
    }
    runs(sentinel, 5, 10, 15, 20, 25, 30, 60, 120, **cause)
    runs(sentinel, 6, 11, 16, 21, Stream="Custom-SentinelOneAgents", RunId="b", **cause)
    (alert,) = sentinel.alerts(FAILING)
    assert "Custom-SentinelOneThreats" in alert["Streams"]
    assert "VendorUnavailable: 503 for long" in alert["Causes"]


def test_a_stream_that_is_stuck_is_one_alert(sentinel: Sentinel) -> None:
    """Runs that come no further are failing, and so alert; a backlog that moves does not."""
    runs(sentinel, 0, 5, 10, 15, 20, 25, Status="catching up")
    assert sentinel.alerts(FAILING) == []
    message = "2 runs of threats ended behind 2026-01-02T00:00:00.000000Z without an end"
    stuck: dict[str, Any] = {"Status": "failing", "ErrorClass": "NoProgress", "Message": message}
    runs(sentinel, 30, 35, 40, 45, 50, **stuck)
    (alert,) = sentinel.alerts(FAILING)
    assert "NoProgress: 2 runs of threats" in alert["Causes"]


def test_a_stream_that_recovers_is_none(sentinel: Sentinel) -> None:
    """A failing run or two, and a good one within a quarter of an hour, raise no alert."""
    runs(sentinel, 0)
    runs(sentinel, 5, 10, Status="failing", ErrorClass="VendorUnavailable")
    runs(sentinel, 15, 20, 25, 40)
    assert sentinel.alerts(FAILING) == []


def test_a_failing_row_that_arrives_late_or_again_is_one_alert(sentinel: Sentinel) -> None:
    """Rows that were held up by the outage they report, and repeats of them, are one alert."""
    for arrival in (sentinel.noon + 2 * HOUR, sentinel.noon + 2 * HOUR, sentinel.noon + 3 * HOUR):
        runs(sentinel, 5, 10, 15, arrival=arrival, Status="failing", ErrorClass="E")
    looks(sentinel, 135, 150, 195, 210)
    assert len(sentinel.alerts(FAILING)) == 1


def test_a_stream_that_fails_again_is_a_second_alert(sentinel: Sentinel) -> None:
    """Two spells with a good run between them are two alerts."""
    runs(sentinel, 0, 5, 10, 15, 20, Status="failing", ErrorClass="E")
    runs(sentinel, 60)
    runs(sentinel, 120, 125, 130, 135, 140, Status="failing", ErrorClass="E")
    assert len(sentinel.alerts(FAILING)) == 2


def test_dead_letters_are_an_alert_in_the_run_that_made_them(sentinel: Sentinel) -> None:
    """Refused records raise one alert that counts them, and rows without any raise none."""
    runs(sentinel, 1, DeadLettered=3, Message="400: bad field")
    runs(sentinel, 6, 11, 16, 21)
    (alert,) = sentinel.alerts(SET_ASIDE)
    assert (alert["DeadLetters"], alert["Poison"]) == (3, 0)


def test_a_row_without_dead_letters_is_none(sentinel: Sentinel) -> None:
    """Retries, repeats and a spool that is filled are no dead letters."""
    runs(sentinel, 1, 6, Retries=9, SpoolDepth=40, RepeatsSuppressed=7)
    assert sentinel.alerts(SET_ASIDE) == []


def test_dead_letters_reported_late_or_again_are_one_alert(sentinel: Sentinel) -> None:
    """A row that arrives a day late raises its alert, and a repeat of it none."""
    for arrival in (
        sentinel.noon,
        sentinel.noon,
        sentinel.noon + 20 * MINUTE,
        sentinel.noon + 10 * HOUR,
    ):
        runs(sentinel, -24 * 60, arrival=arrival, DeadLettered=2)
    assert [alert["DeadLetters"] for alert in sentinel.alerts(SET_ASIDE)] == [2]


def test_poison_messages_are_an_alert_when_there_are_more(sentinel: Sentinel) -> None:
    """The queue's depth is told when it grows, not at every run that still finds it."""
    runs(sentinel, *range(1, 40, 5), PoisonMessages=2)
    runs(sentinel, *range(41, 80, 5), PoisonMessages=5)
    assert [alert["Poison"] for alert in sentinel.alerts(SET_ASIDE)] == [2, 5]


def test_a_token_about_to_expire_is_told(sentinel: Sentinel) -> None:
    """Within two weeks of its end a token is told with the days that are left."""
    runs(sentinel, 1, 6, TokenExpiresInDays=9.4)
    (alert,) = sentinel.alerts(TOKEN)
    assert (alert["Connector"], alert["Days"], alert["Severity"]) == ("SentinelOne", 9, "Medium")


def test_the_last_three_days_of_a_token_are_of_high_severity(sentinel: Sentinel) -> None:
    """A token's last days are told as high."""
    runs(sentinel, 1, TokenExpiresInDays=2.5)
    assert [alert["Severity"] for alert in sentinel.alerts(TOKEN)] == ["High"]


def test_a_token_that_ended_has_expired(sentinel: Sentinel) -> None:
    """No alert speaks of days below none."""
    runs(sentinel, 1, TokenExpiresInDays=-1.5)
    assert [alert["Ends"] for alert in sentinel.alerts(TOKEN)] == ["has expired"]


def test_a_token_with_time_left_or_renewed_is_none(sentinel: Sentinel) -> None:
    """A token of a month, one that was renewed, and one of unknown age raise no alert."""
    runs(sentinel, 1, TokenExpiresInDays=30.0)
    runs(sentinel, 1, Connector="Jira", Stream="Custom-JiraAudit", TokenExpiresInDays=3.0)
    runs(sentinel, 6, Connector="Jira", Stream="Custom-JiraAudit", TokenExpiresInDays=364.0)
    runs(sentinel, 1, Connector="OneLogin", Stream="Custom-OneLogin")
    assert sentinel.alerts(TOKEN) == []


def test_a_tokens_row_that_arrives_late_or_again_is_one_alert_a_day(sentinel: Sentinel) -> None:
    """A row of the day before raises the day's alert once, though it was sent twice."""
    for arrival in (sentinel.noon, sentinel.noon + MINUTE):
        runs(sentinel, -20 * 60, arrival=arrival, TokenExpiresInDays=5.0)
    assert len(sentinel.alerts(TOKEN)) == 1


def test_one_silent_connection_of_many_is_an_alert(sentinel: Sentinel) -> None:
    """However many others of its connector report; by its name."""
    for minute in range(0, 80, 5):
        for name in ("", "apac", "emea") if minute <= 10 else ("", "apac"):
            runs(sentinel, minute, Connection=name, RunId=f"{name}{minute}", Stream="all")
    (alert,) = [a for a in sentinel.alerts(SILENT) if a["LastRun"] < sentinel.noon + HOUR]
    assert alert["Connector"] == "SentinelOne emea"


def test_one_failing_connection_of_many_is_an_alert(sentinel: Sentinel) -> None:
    """Its own good runs alone end a spell; its streams' rows say why it fails."""
    for minute in range(0, 65, 5):
        runs(sentinel, minute, RunId=f"a{minute}", Connection="apac", Stream="all")
        run: dict[str, Any] = {"RunId": f"e{minute}", "Connection": "emea"}
        bad: dict[str, Any] = {"Status": "failing"} if minute >= 20 else {}
        runs(sentinel, minute, Stream="all", **run, **bad)
        if bad:
            runs(sentinel, minute, **run, **bad, ErrorClass="VendorRefused", Message="403: no")
    (alert,) = sentinel.alerts(FAILING)
    assert alert["Connector"] == "SentinelOne emea"
    assert alert["Causes"] == "VendorRefused: 403: no"


def test_a_connection_that_recovers_is_none(sentinel: Sentinel) -> None:
    """The stream that failed posts no row of its own when it is well again: the sum tells."""
    bad: dict[str, Any] = {
        "Status": "failing",
        "ErrorClass": "VendorUnavailable",
        "Message": "503",
    }
    runs(sentinel, 0, Stream="all", Connection="emea", RunId="0")
    runs(sentinel, 5, Stream="all", Connection="emea", RunId="5", Status="failing")
    runs(sentinel, 5, Connection="emea", RunId="5", **bad)
    for minute in (10, 15, 20, 25, 40):
        runs(sentinel, minute, Stream="all", Connection="emea", RunId=str(minute))
    assert sentinel.alerts(FAILING) == []


def test_the_token_of_one_connection_is_told_by_its_name(sentinel: Sentinel) -> None:
    """Another's, which lasts, does not hide it."""
    runs(sentinel, 0, Connection="emea", Stream="all", TokenExpiresInDays=2.5)
    runs(sentinel, 1, Connection="apac", Stream="all", TokenExpiresInDays=90.0)
    alerts = sentinel.alerts(TOKEN)
    assert {alert["Connector"] for alert in alerts} == {"SentinelOne emea"}


def test_dead_letters_of_a_named_connection_are_counted_once(sentinel: Sentinel) -> None:
    """The sum has them, and so has the row of the stream that failed."""
    run: dict[str, Any] = {"Connection": "emea", "RunId": "1", "DeadLettered": 3}
    runs(sentinel, 1, Stream="all", **run)
    runs(sentinel, 1, Status="failing", Message="400: bad field", **run)
    (alert,) = sentinel.alerts(SET_ASIDE)
    assert (alert["Connector"], alert["DeadLetters"]) == ("SentinelOne emea", 3)


def test_posts_that_never_came_are_one_alert(sentinel: Sentinel) -> None:
    """The hour's row alerts once, also where it arrives again; a late row of another kind not."""
    message = "OneLogin's API lists 10 events, and posts brought 7 of them"
    missing: dict[str, Any] = {"Connector": "OneLogin", "Stream": "Custom-OneLogin"}
    runs(sentinel, 1, Status="late", Message=message, **missing)
    runs(
        sentinel, 1, arrival=sentinel.noon + 30 * MINUTE, Status="late", Message=message, **missing
    )
    runs(sentinel, 6, Status="late", Message="3 events are in the spool", **missing)
    looks(sentinel, 20, 40, 60)
    (alert,) = sentinel.alerts(POSTS)
    assert alert["Message"] == message
