"""The rule for many failed logins before a success: it needs the order, the number and the user."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.rules import files
from tests.rules.sentinel import DAY, HOUR, MINUTE, Sentinel
from tests.rules.vendors import ONELOGIN, listed, onelogin

pytestmark = pytest.mark.slow

RULE = files.rule("OneLoginFailedLoginsThenSuccess")


def fails(
    sentinel: Sentinel, count: int, start: datetime, late: datetime | None = None, **more: Any
) -> None:
    """``count`` failed logins, one a minute from ``start``, arriving with the last or ``late``."""
    for number in range(count):
        at = start + number * MINUTE
        event = onelogin(6, at, uuid=f"f-{start:%d%H%M}-{number}", **more)
        sentinel.arrives(late or start + (count - 1) * MINUTE, ONELOGIN, event)


def succeeds(
    sentinel: Sentinel, at: datetime, arrival: datetime | None = None, **more: Any
) -> None:
    """A login that succeeded at ``at``."""
    event = onelogin(5, at, uuid=f"s-{at:%d%H%M}", ipaddr="192.0.2.66", **more)
    sentinel.arrives(arrival or at, ONELOGIN, event)


def test_ten_failures_and_a_success_are_one_alert(sentinel: Sentinel) -> None:
    """The alert says who, how often, from where they failed and from where they succeeded."""
    fails(sentinel, 10, sentinel.noon)
    succeeds(sentinel, sentinel.noon + 10 * MINUTE)
    (alert,) = sentinel.alerts(RULE)
    assert alert["User"] == "Ada Example"
    assert alert["Failures"] == 10
    assert (alert["FailedFrom"], alert["SuccessIp"]) == ("203.0.113.5", "192.0.2.66")


def test_nine_failures_are_none(sentinel: Sentinel) -> None:
    """A person who mistypes a few times raises no alert."""
    fails(sentinel, 9, sentinel.noon)
    succeeds(sentinel, sentinel.noon + 10 * MINUTE)
    assert sentinel.alerts(RULE) == []


def test_failures_without_a_success_are_none(sentinel: Sentinel) -> None:
    """Failures alone raise no alert, nor does a success before them."""
    succeeds(sentinel, sentinel.noon - MINUTE)
    fails(sentinel, 15, sentinel.noon)
    assert sentinel.alerts(RULE) == []


def test_another_users_success_is_none(sentinel: Sentinel) -> None:
    """Failures of one user and a success of another belong to nobody's alert."""
    fails(sentinel, 12, sentinel.noon)
    succeeds(sentinel, sentinel.noon + 12 * MINUTE, user_id=502, user_name="Bob Example")
    assert sentinel.alerts(RULE) == []


def test_failures_of_more_than_an_hour_ago_are_none(sentinel: Sentinel) -> None:
    """Ten failures spread over the morning before a success at night are no burst."""
    fails(sentinel, 12, sentinel.noon)
    succeeds(sentinel, sentinel.noon + 3 * HOUR)
    assert sentinel.alerts(RULE) == []


def test_a_success_in_between_begins_the_count_anew(sentinel: Sentinel) -> None:
    """Five failures, a success, five failures and a success are no burst."""
    fails(sentinel, 5, sentinel.noon)
    succeeds(sentinel, sentinel.noon + 5 * MINUTE)
    fails(sentinel, 5, sentinel.noon + 6 * MINUTE)
    succeeds(sentinel, sentinel.noon + 11 * MINUTE)
    assert sentinel.alerts(RULE) == []


def test_logins_after_the_first_success_are_the_same_alert(sentinel: Sentinel) -> None:
    """A user who goes on logging in within the hour raises no further alert."""
    fails(sentinel, 10, sentinel.noon)
    for minutes in (10, 20, 40):
        succeeds(sentinel, sentinel.noon + minutes * MINUTE)
    assert len(sentinel.alerts(RULE)) == 1


def test_events_sent_again_are_the_same_alert(sentinel: Sentinel) -> None:
    """OneLogin's repeats neither make up a burst nor raise its alert again."""
    for _ in range(3):
        fails(sentinel, 4, sentinel.noon)
    succeeds(sentinel, sentinel.noon + 5 * MINUTE)
    fails(sentinel, 10, sentinel.noon + HOUR)
    for later in (10, 10, 30, 600):
        succeeds(
            sentinel, sentinel.noon + HOUR + 10 * MINUTE, sentinel.noon + HOUR + later * MINUTE
        )
    fails(sentinel, 10, sentinel.noon + HOUR, late=sentinel.noon + 3 * HOUR)
    assert len(sentinel.alerts(RULE)) == 1


def test_a_burst_whose_failures_arrive_last_is_an_alert(sentinel: Sentinel) -> None:
    """Failures that arrive hours after the success raise the alert when the tenth is there."""
    fails(sentinel, 6, sentinel.noon)
    succeeds(sentinel, sentinel.noon + 30 * MINUTE)
    fails(sentinel, 6, sentinel.noon + 10 * MINUTE, late=sentinel.noon + 5 * HOUR)
    (alert,) = sentinel.alerts(RULE)
    assert alert["Failures"] == 12


def test_a_success_that_arrives_late_is_an_alert(sentinel: Sentinel) -> None:
    """A success that arrives a day after its failures raises the alert."""
    fails(sentinel, 10, sentinel.noon)
    succeeds(sentinel, sentinel.noon + 10 * MINUTE, sentinel.noon + DAY)
    assert len(sentinel.alerts(RULE)) == 1


def test_old_bursts_are_none(sentinel: Sentinel) -> None:
    """A burst of three days ago that arrives now raises no alert."""
    fails(sentinel, 12, sentinel.noon - 3 * DAY, late=sentinel.noon)
    succeeds(sentinel, sentinel.noon - 3 * DAY + 12 * MINUTE, sentinel.noon)
    assert sentinel.alerts(RULE) == []


def test_events_that_the_api_lists_are_one_alert_too(sentinel: Sentinel) -> None:
    """Failures and the success are known by their numbers, and timed by created_at."""
    for number in range(11):
        at = sentinel.noon + number * MINUTE
        event = listed(6 if number < 10 else 5, at, key=number)
        sentinel.arrives(sentinel.noon + 10 * MINUTE, ONELOGIN, event)
    (alert,) = sentinel.alerts(RULE)
    assert (alert["Failures"], alert["SuccessId"]) == (10, "10")


def test_failures_and_a_success_at_two_connections_are_no_alert(sentinel: Sentinel) -> None:
    """A user's number is that of another person there; ids that are alike are other events."""
    fails(sentinel, 9, sentinel.noon)
    theirs = {"Connection": "emea"}
    for number in range(10):
        event = onelogin(6, sentinel.noon, uuid=f"f-{sentinel.noon:%d%H%M}-{number}")
        sentinel.arrives(sentinel.noon, ONELOGIN, {**event, "AdditionalFields": theirs})
    succeeds(sentinel, sentinel.noon + 10 * MINUTE)
    assert sentinel.alerts(RULE) == []
    success = onelogin(5, sentinel.noon + HOUR / 2, uuid="s-emea")
    at = sentinel.noon + HOUR
    sentinel.arrives(at, ONELOGIN, {**success, "AdditionalFields": theirs})
    (alert,) = sentinel.alerts(RULE)
    assert (alert["Connection"], alert["Failures"]) == ("emea", 10)
