"""A week of made-up history: the same each time, late and changing as at real vendors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from local.demo.traffic import MOST_LATE, WEEK, History
from local.vendors.jira import Jira
from local.vendors.record_store import microseconds
from local.vendors.sentinelone import SentinelOne

NOW = datetime(2026, 3, 8, tzinfo=UTC)


def vendors() -> tuple[SentinelOne, Jira]:
    """Both, without their servers."""
    return SentinelOne(now=lambda: NOW), Jira(now=lambda: NOW)


def test_a_week_is_made_in_the_thousands_and_always_the_same() -> None:
    """Two histories agree to the byte, and every stream has records."""
    first, second = vendors(), vendors()
    events = History().week(*first, NOW)
    assert events == History().week(*second, NOW)
    for stream, made in first[0].streams.items():
        assert len(made) > 0
        assert made.bodies() == second[0].streams[stream].bodies()
    assert sum(map(len, first[0].streams.values())) > 5_000
    assert len(first[1].ids()) > 2_000
    assert len({event["uuid"] for event in events}) == len(events) > 1_000


def test_every_record_is_of_its_own_week() -> None:
    """Times lie within the span, and some are shared by several records."""
    sentinelone, jira = vendors()
    History(size=0.2).week(sentinelone, jira, NOW)
    times = [microseconds(r["createdAt"]) for r in sentinelone.streams["activities"].records()]
    known = [moment for moment in times if moment is not None]
    assert len(known) == len(times)
    start = microseconds(NOW - WEEK)
    end = microseconds(NOW)
    assert start is not None
    assert end is not None
    assert start <= min(known) <= max(known) <= end
    assert len(set(known)) < len(known)


def test_late_records_appear_with_times_of_minutes_ago() -> None:
    """What is late is not there at first, and its own time lies within the overlap."""
    sentinelone, jira = vendors()
    history = History(size=0.1)
    history.week(sentinelone, jira, NOW)
    late = [record for stream, record in history.late if stream == "activities"]
    assert late
    assert not {record["id"] for record in late} & set(sentinelone.ids("activities"))
    for record in late:
        moment = datetime.fromisoformat(record["createdAt"])
        assert NOW - MOST_LATE - timedelta(seconds=1) <= moment <= NOW
    history.appear(sentinelone, jira)
    assert {record["id"] for record in late} <= set(sentinelone.ids("activities"))
    assert history.late == []


def test_what_changes_keeps_its_id() -> None:
    """Threats and agents change in place: a new time, no new record."""
    sentinelone, jira = vendors()
    history = History(size=0.2)
    history.week(sentinelone, jira, NOW)
    before = sorted(sentinelone.ids("agents"))
    changed = history.changes(sentinelone, NOW)
    assert changed > 0
    assert sorted(sentinelone.ids("agents")) == before
    newest = sentinelone.streams["agents"].page("updatedAt", descending=True, limit=1)[0][0]
    assert newest.fields["updatedAt"] == microseconds(NOW)
