"""OneLogin's events: their wrapping, their id, their time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.connectors.onelogin import OneLoginEvents
from shared.records.timestamps import utc_now
from shared.webhook.events import read_events


@pytest.mark.parametrize(
    ("element", "event"),
    [
        ({"uuid": "1"}, {"uuid": "1"}),
        ({"event": {"uuid": "1"}}, {"uuid": "1"}),
        ({"event": {"uuid": "1"}, "more": 2}, {"event": {"uuid": "1"}, "more": 2}),
        ({"event": "login"}, {"event": "login"}),
        ({}, {}),
        (None, None),
        (7, None),
        ("text", None),
        ([{"uuid": "1"}], None),
    ],
)
def test_an_event_comes_out_of_its_wrapping(element: Any, event: dict[str, Any] | None) -> None:
    """A lone ``event`` key is a wrapping; whatever else an object holds is the event itself."""
    assert OneLoginEvents().event(element) == event


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ({"uuid": "u", "create": {"_id": "c"}}, "u"),
        ({"uuid": None, "create": {"_id": "c"}}, "c"),
        ({"create": {"_id": "c"}}, "c"),
        ({"create": None}, None),
        ({"uuid": ""}, None),
        ({"uuid": 12}, None),
        ({}, None),
    ],
)
def test_repeats_are_known_by_uuid(event: dict[str, Any], name: str | None) -> None:
    """An event is known by ``uuid``, else by ``create._id``, else by nothing."""
    assert OneLoginEvents().event_id(event) == name


def test_the_events_own_time_is_read() -> None:
    """``event_timestamp`` is UTC in OneLogin's own spelling; its absence is no time."""
    moment = datetime(2017, 12, 5, 19, 13, 6, tzinfo=UTC)
    assert OneLoginEvents().event_time({"event_timestamp": "2017-12-05 19:13:06 UTC"}) == moment
    assert OneLoginEvents().event_time({"event_timestamp": "yesterday"}) is None
    assert OneLoginEvents().event_time({}) is None


@pytest.mark.parametrize(
    ("account", "number"),
    [
        (88211, "88211"),
        ("88211", "88211"),
        (None, ""),
        ("a name", ""),
        ("9" * 5_000, ""),
        ([1], ""),
    ],
)
def test_an_account_is_a_number(account: Any, number: str) -> None:
    """It names a count in a stored row, so no text of a post may stand there."""
    assert OneLoginEvents().account({"account_id": account}) == number


def test_no_event_is_delivered_of_years_to_come() -> None:
    """The page's "delivered to" is the newest event's time, and no wrong one of 2099."""
    body = b'[{"uuid":"1","event_timestamp":"2099-01-01 00:00:00 UTC"}]'
    before = utc_now()
    newest = read_events(body, OneLoginEvents(), None).newest
    assert newest
    assert before <= newest <= utc_now()
