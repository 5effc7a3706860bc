"""The local Jira keeps the vendor's rules: newest first, offsets, inclusive ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from local.vendors.jira import PATH, Jira
from local.vendors.jira_records import jira_record

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def site() -> Iterator[Jira]:
    """A site with ten audit records, a second apart."""
    with Jira() as running:
        running.add(jira_record(n, START + timedelta(seconds=n)) for n in range(10))
        yield running


def get(site: Jira, prefix: str = "", **query: Any) -> requests.Response:
    """One request, signed."""
    login = (site.username, site.token)
    return requests.get(site.url + prefix + PATH, params=query, auth=login, timeout=10)


def ids(answer: requests.Response) -> list[int]:
    """The numbers of the records in an answer."""
    return [(record["id"] - 10_000) // 3 for record in answer.json()["records"]]


def test_basic_auth_is_asked_for(site: Jira) -> None:
    """A wrong token is a 401."""
    answer = requests.get(site.url + PATH, auth=(site.username, "wrong"), timeout=10)
    assert answer.status_code == 401


def test_a_missing_permission_is_refused(site: Jira) -> None:
    """Without Administer Jira, or on a plan without an audit log, 403."""
    site.denied = 403
    assert get(site).status_code == 403


def test_records_come_newest_first(site: Jira) -> None:
    """Offsets count from the newest."""
    answer = get(site, offset=2, limit=3)
    assert ids(answer) == [7, 6, 5]
    assert {k: answer.json()[k] for k in ("offset", "limit", "total")} == {
        "offset": 2,
        "limit": 3,
        "total": 10,
    }


def test_both_ends_belong_to_the_window(site: Jira) -> None:
    """`from` is on or after, `to` is on or before, to the millisecond."""
    answer = get(site, **{"from": "2026-03-01T12:00:03.000+0000", "to": "2026-03-01T12:00:05.000Z"})
    assert ids(answer) == [5, 4, 3]


def test_a_naked_plus_is_not_understood(site: Jira) -> None:
    """A plus sign that is not percent-encoded arrives as a space: 400."""
    login = (site.username, site.token)
    url = f"{site.url}{PATH}?from=2026-03-01T12:00:03.000+0000"
    assert requests.get(url, auth=login, timeout=10).status_code == 400


@pytest.mark.parametrize(
    "query", [{"from": "2026-03-01T12:00:03"}, {"from": "today"}, {"offset": -1}, {"limit": "x"}]
)
def test_malformed_queries_are_refused(site: Jira, query: dict[str, Any]) -> None:
    """A time without its zone and a number that is none are a 400."""
    assert get(site, **query).status_code == 400


def test_a_page_may_be_shorter_than_asked(site: Jira) -> None:
    """The server decides how many it returns, and says so in `limit`."""
    site.longest_page = 4
    answer = get(site, limit=1000)
    assert (len(ids(answer)), answer.json()["limit"], answer.json()["total"]) == (4, 4, 10)


def test_the_total_may_promise_too_much(site: Jira) -> None:
    """`total` can be larger than the number of records ever returned."""
    site.phantom_total = 5
    assert get(site).json()["total"] == 15
    assert ids(get(site, offset=10)) == []


def test_what_arrives_while_paging_shifts_the_offsets(site: Jira) -> None:
    """Without a fixed window, a new record pushes the last of a page onto the next."""
    first = ids(get(site, limit=2))
    site.add([jira_record(99, START + timedelta(minutes=1))])
    assert (first, ids(get(site, offset=2, limit=2))) == ([9, 8], [8, 7])


def test_scoped_tokens_have_their_own_address(site: Jira) -> None:
    """The same log answers under /ex/jira/{cloudId}."""
    assert len(ids(get(site, prefix="/ex/jira/0f3c"))) == 10
