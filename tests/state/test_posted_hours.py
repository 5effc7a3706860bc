"""Counts of posted events by hour and account, in a row that has an end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import shared.azure.storage
from shared.state.checkpoint import TABLE
from shared.state.posted_hours import HOUR, add_posted, hour_name, keep_listed, read_hours

NOW = datetime(2026, 11, 21, 13, 30, tzinfo=UTC)
MOST_CHARACTERS = 32_768  # of a property in Table storage
ACCOUNTS = [str(80_000 + number) for number in range(40)]


def of_hour(hours_ago: int) -> str:
    return hour_name(NOW - hours_ago * HOUR)


def test_many_accounts_keep_their_newest_hours(storage: str) -> None:
    """A row that is too large would be refused at each post, and the webhook's history with it."""
    for hours_ago in range(71, -1, -1):
        hour = of_hour(hours_ago)
        add_posted("OneLogin", "", {f"{hour} {account}": 1_000 for account in ACCOUNTS}, NOW)
    (row,) = shared.azure.storage.table(TABLE).list_entities()
    assert len(row["posted"]) < MOST_CHARACTERS
    found = read_hours("OneLogin")
    assert found.posted_of(of_hour(0)) == found.posted_of(of_hour(12)) == 1_000 * len(ACCOUNTS)


def test_what_an_hour_missed_is_known_when_its_counts_are_gone(storage: str) -> None:
    """Posts that come later do not make fewer of those that came."""
    hour = NOW.replace(minute=0) - 3 * HOUR
    keep_listed("OneLogin", "", hour, (10, 8))
    add_posted("OneLogin", "", {f"{of_hour(0)} 1": 5}, NOW)
    assert read_hours("OneLogin").missing == {of_hour(3): (10, 8)}


def test_events_of_impossible_hours_are_not_counted(storage: str) -> None:
    """An event's time may be any: one of years to come would stay in the row for ever."""
    odd = [hour_name(NOW + timedelta(days=days)) for days in (400, 2, -4, -4000)]
    add_posted("OneLogin", "", {f"{hour} 1": 1 for hour in [*odd, of_hour(0)]}, NOW)
    assert read_hours("OneLogin").posted == {f"{of_hour(0)} 1": 1}
