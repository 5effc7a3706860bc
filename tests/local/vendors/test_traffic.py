"""A week of made-up history: the same each time, late and changing as at real vendors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from local.loopback.server import LocalServer
from local.vendors.jira import Jira
from local.vendors.jira_traffic import AUDIT, JiraAccount
from local.vendors.onelogin_traffic import EVENTS, OneLoginAccount
from local.vendors.record_store import microseconds
from local.vendors.sentinelone import SentinelOne
from local.vendors.sentinelone_traffic import VENDOR, SentinelOneAccount
from local.vendors.traffic import MOST_LATE, WEEK, Period, Traffic
from local.vendors.vendor import Account

NOW = datetime(2026, 3, 8, tzinfo=UTC)


def week(size: float = 1.0) -> Period:
    """The week before NOW."""
    return Period(NOW - WEEK, NOW, size)


def tenant() -> SentinelOneAccount:
    """An empty tenant, without its server."""
    return SentinelOneAccount(SentinelOne(now=lambda: NOW))


def site() -> JiraAccount:
    """An empty site, without its server."""
    return JiraAccount(Jira(now=lambda: NOW))


def activities(account: SentinelOneAccount) -> list[dict[str, Any]]:
    """The tenant's activities as it shows them."""
    return account.tenant.streams["activities"].records()


def test_a_week_is_made_in_the_thousands_and_always_the_same() -> None:
    """Two accounts agree on everything, and every stream has records."""
    accounts: list[tuple[Account, Account]] = [
        (tenant(), tenant()),
        (site(), site()),
        (OneLoginAccount(), OneLoginAccount()),
    ]
    for first, second in accounts:
        first.fill(week())
        second.fill(week())
        assert first.save() == second.save()
    sentinelone, jira, _ = (first for first, _ in accounts)
    counts = [len(sentinelone.records(stream)) for stream in VENDOR.streams]
    assert min(counts) > 0
    assert sum(counts) > 5_000
    assert len(jira.records(AUDIT)) > 2_000
    onelogin = OneLoginAccount()
    onelogin.fill(week())
    assert len({event["uuid"] for event in onelogin.pending()}) == len(onelogin.pending()) > 1_000


def test_every_record_is_of_its_own_week() -> None:
    """Times lie within the period, and some are shared by several records."""
    account = tenant()
    account.fill(week(0.2))
    times = [datetime.fromisoformat(record["createdAt"]) for record in activities(account)]
    assert NOW - WEEK <= min(times) <= max(times) <= NOW
    assert len(set(times)) < len(times)


def test_numbers_go_on_in_the_next_period() -> None:
    """No record of a later period has the id of an earlier one."""
    account = site()
    account.fill(week(0.1))
    before = set(account.site.ids())
    account.fill(Period(NOW, NOW + timedelta(hours=1), 0.1))
    account.release_late()
    after = account.site.ids()
    assert len(set(after)) == len(after) > len(before)


def test_a_short_period_still_has_records() -> None:
    """A second run of the demo, seconds after the first, has something to send."""
    traffic = Traffic("vendor", Period(NOW, NOW + timedelta(seconds=2)), made=0)
    assert len(traffic.spread(1500)) == 3


def test_late_records_appear_with_times_of_minutes_ago() -> None:
    """A late record is absent at first, and its own time lies within the overlap."""
    account = tenant()
    account.fill(week(0.1))
    before = set(account.tenant.ids("activities"))
    assert account.release_late() > 0
    late = [record for record in activities(account) if record["id"] not in before]
    assert late
    for record in late:
        moment = datetime.fromisoformat(record["createdAt"])
        assert NOW - MOST_LATE - timedelta(seconds=1) <= moment <= NOW
    assert account.release_late() == 0


def test_a_changed_record_keeps_its_id() -> None:
    """Threats and agents change in place: a new time, no new record."""
    account = tenant()
    account.fill(week(0.2))
    before = sorted(account.tenant.ids("agents"))
    assert account.change(NOW) > 0
    assert sorted(account.tenant.ids("agents")) == before
    agents = account.tenant.streams["agents"]
    newest = agents.page("updatedAt", descending=True, limit=1)[0][0]
    assert newest.fields["updatedAt"] == microseconds(NOW)


@pytest.mark.parametrize("make", [tenant, site])
def test_a_restored_account_has_all_that_was_saved(make: Any) -> None:
    """Records, policies and numbers survive from one run to the next."""
    saved, restored = make(), make()
    saved.fill(week(0.1))
    restored.restore(saved.save())
    assert restored.save() == saved.save()
    hour = Period(NOW, NOW + timedelta(hours=1), 0.1)
    saved.fill(hour)
    restored.fill(hour)
    assert restored.save() == saved.save()


def test_events_that_are_given_up_are_listed_and_never_posted() -> None:
    """Some of one hour; they count as what the account has, by the number that its list shows."""
    account = OneLoginAccount()
    account.fill(week())
    made = len(account.pending())
    found = account.doomed(NOW - timedelta(hours=12), NOW - timedelta(hours=2))
    assert found
    hour, events = found
    assert NOW - timedelta(hours=12) <= hour < NOW - timedelta(hours=2)
    assert 0 < len(events) < made / 100
    account.give_up(events)
    assert len(account.pending()) == made - len(events)
    assert len(account.api.ids()) == made
    gone = account.records(EVENTS)
    assert {str(event["id"]) for event in gone} < set(account.api.ids())
    assert len(gone) == len(events)
    assert account.doomed(NOW, NOW + timedelta(hours=9)) is None


async def accept(_request: web.Request) -> web.Response:
    """A webhook that takes everything."""
    return web.Response(status=200)


def test_an_account_that_posts_remembers_the_events_that_were_taken() -> None:
    """Events that no webhook took stay pending; those taken are kept once, also when repeated."""
    account = OneLoginAccount()
    account.fill(week(0.02))
    events = account.pending()
    with LocalServer([web.post("/hook", accept)]) as server:
        assert account.post(f"{server.url}/elsewhere", events[:10]) == 10
        assert account.pending() == events
        assert account.post(f"{server.url}/hook", events[:20]) == 0
        assert account.post(f"{server.url}/hook", events[:20]) == 0
    assert account.pending() == events[20:]
    assert account.records(EVENTS) == events[:20]
    restored = OneLoginAccount()
    restored.restore(account.save())
    assert restored.records(EVENTS) == events[:20]
    assert restored.pending() == events[20:]
    assert restored.api.ids() == account.api.ids()
