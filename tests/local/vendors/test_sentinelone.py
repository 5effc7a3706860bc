"""The local SentinelOne keeps the vendor's rules: each endpoint's parameters and paging."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from local.loopback.server import utc_now
from local.vendors.sentinelone import SentinelOne
from local.vendors.sentinelone_records import (
    activity,
    agent,
    alert,
    group,
    site,
    threat,
    unified_alert,
    when,
)

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
API = "/web/api/v2.1"


@pytest.fixture
def console() -> Iterator[SentinelOne]:
    """A tenant without any settings."""
    with SentinelOne() as running:
        yield running


def get(console: SentinelOne, path: str, **query: Any) -> requests.Response:
    """One request, signed."""
    return requests.get(
        console.url + API + path,
        params=query,
        headers={"Authorization": f"ApiToken {console.token}"},
        timeout=10,
    )


def seconds(count: int) -> datetime:
    """A moment after START."""
    return START + timedelta(seconds=count)


@pytest.mark.parametrize("given", ["", "ApiToken wrong", "Bearer local-sentinelone-token"])
def test_without_the_token_nothing_is_answered(console: SentinelOne, given: str) -> None:
    """401 in the vendor's own words, whatever is asked."""
    url = console.url + API + "/activities"
    answer = requests.get(url, headers={"Authorization": given}, timeout=10)
    assert answer.status_code == 401
    assert answer.json()["errors"][0]["code"] == 4010010


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/activities", 1000),
        ("/threats", 1000),
        ("/agents", 1000),
        ("/groups", 300),
        ("/cloud-detection/alerts", 1000),
        ("/device-control/events", 1000),
        ("/installed-applications", 1000),
        ("/sites", 1000),
        ("/accounts", 1000),
    ],
)
def test_each_endpoint_has_its_own_limit(console: SentinelOne, path: str, most: int) -> None:
    """A page over the limit is a 400, not a shorter page."""
    assert get(console, path, limit=most).status_code == 200
    assert get(console, path, limit=most + 1).status_code == 400


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/activities", {"updatedAt__gt": "2026-03-01T12:00:00Z"}),
        ("/threats", {"createdAt__between": "0-1"}),
        ("/groups", {"createdAt__gt": "2026-03-01T12:00:00Z"}),
        ("/cloud-detection/alerts", {"updatedAt__gt": "2026-03-01T12:00:00Z"}),
        ("/installed-applications", {"installedAt__gte": "2026-03-01T12:00:00Z"}),
        ("/sites", {"updatedAt__gt": "2026-03-01T12:00:00Z"}),
        ("/activities", {"createdAt__gte": "yesterday"}),
        ("/activities", {"createdAt__between": "2026-03-01T12:00:00Z-2026-03-02T12:00:00Z"}),
        ("/activities", {"sortBy": "updatedAt"}),
        ("/activities", {"skip": 1001}),
        ("/activities", {"limit": "many"}),
        ("/activities", {"cursor": "not base64!"}),
        ("/agents/applications", {}),
    ],
)
def test_what_an_endpoint_does_not_know_is_refused(
    console: SentinelOne, path: str, query: dict[str, Any]
) -> None:
    """A filter, sort or value that the endpoint lacks is a 400 that names it."""
    answer = get(console, path, **query)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"createdAt__gt": when(seconds(1))}, [2, 3]),
        ({"createdAt__gte": when(seconds(1))}, [1, 2, 3]),
        ({"createdAt__lt": when(seconds(2))}, [0, 1]),
        ({"createdAt__lte": when(seconds(2))}, [0, 1, 2]),
        ({"createdAt__gte": when(seconds(1)), "createdAt__lt": when(seconds(3))}, [1, 2]),
        ({"createdAt__between": "1772366401000-1772366402000"}, [1, 2]),
    ],
)
def test_ends_are_inclusive_or_not_as_named(
    console: SentinelOne, query: dict[str, str], expected: list[int]
) -> None:
    """gt and lt leave the edge out, gte, lte and between (in milliseconds) take it in."""
    made = [activity(n, seconds(n)) for n in range(4)]
    console.add("activities", made)
    found = [each["id"] for each in get(console, "/activities", **query).json()["data"]]
    assert found == [made[n]["id"] for n in expected]


def test_a_cursor_belongs_to_its_filters_and_sort(console: SentinelOne) -> None:
    """Resent with the same filters and sort it goes on; with others it is refused."""
    console.add("activities", (activity(n, seconds(n // 2)) for n in range(5)))
    asked = {"limit": 2, "sortBy": "createdAt", "sortOrder": "asc", "createdAt__gte": when(START)}
    first = get(console, "/activities", **asked).json()
    cursor = first["pagination"]["nextCursor"]
    second = get(console, "/activities", **asked, cursor=cursor).json()
    assert [len(page["data"]) for page in (first, second)] == [2, 2]
    assert not {r["id"] for r in first["data"]} & {r["id"] for r in second["data"]}
    for change in ({"sortOrder": "desc"}, {"createdAt__gte": when(seconds(1))}, {"sortBy": "id"}):
        assert get(console, "/activities", **{**asked, **change}, cursor=cursor).status_code == 400


def test_the_last_page_says_so_in_either_way(console: SentinelOne) -> None:
    """nextCursor is null, or is not there at all."""
    console.add("activities", [activity(1, START)])
    assert get(console, "/activities").json()["pagination"] == {"totalItems": 1, "nextCursor": None}
    console.last_cursor = "missing"
    assert get(console, "/activities").json()["pagination"] == {"totalItems": 1}


def test_counting(console: SentinelOne) -> None:
    """countOnly sends no records; skipCount sends no count."""
    console.add("activities", (activity(n, seconds(n)) for n in range(3)))
    counted = get(console, "/activities", countOnly="true").json()
    assert (counted["data"], counted["pagination"]["totalItems"]) == ([], 3)
    skipped = get(console, "/activities", skipCount="true").json()
    assert (len(skipped["data"]), skipped["pagination"]["totalItems"]) == (3, 0)


def test_nested_times_are_found_where_they_are(console: SentinelOne) -> None:
    """Threats are filtered by threatInfo's times, alerts by alertInfo's."""
    console.add("threats", [threat(1, START, seconds(60)), threat(2, START, seconds(1))])
    after = get(console, "/threats", updatedAt__gt=when(seconds(30))).json()["data"]
    assert [each["id"] for each in after] == [threat(1, START)["id"]]
    console.add("alerts", [alert(1, START, seconds(9)), alert(2, START, seconds(3))])
    asked = {"reportedAt__gte": when(START), "sortBy": "alertInfoReportedAt"}
    found = get(console, "/cloud-detection/alerts", **asked).json()["data"]
    assert [each["alertInfo"]["reportedAt"] for each in found] == [
        when(seconds(3)),
        when(seconds(9)),
    ]


def test_a_record_changes_in_place(console: SentinelOne) -> None:
    """An update moves a record to its new time; it is there once."""
    console.add("agents", [agent(n, seconds(n)) for n in range(3)])
    console.update("agents", agent(0, START)["id"], {"updatedAt": when(seconds(60))})
    found = get(console, "/agents", sortBy="updatedAt").json()["data"]
    assert [each["computerName"] for each in found] == ["WS-0001", "WS-0002", "WS-0000"]


def test_a_record_appears_when_its_time_comes(console: SentinelOne) -> None:
    """A record added for later is hidden until the vendor's clock gets there."""
    later = utc_now() + timedelta(hours=1)
    console.add("activities", [activity(1, START)], visible_at=later)
    assert get(console, "/activities").json()["data"] == []
    console.server.now = lambda: later
    assert len(get(console, "/activities").json()["data"]) == 1


def test_every_answer_carries_the_vendors_clock(console: SentinelOne) -> None:
    """The Date header shows the server's own clock, refusals included."""
    console.server.now = lambda: START
    for path in ("/activities", "/nowhere"):
        assert parsedate_to_datetime(get(console, path).headers["Date"]) == START


def test_sites_are_nested_and_policies_are_single(console: SentinelOne) -> None:
    """/sites has its list at data.sites; a policy is one object that does not name its scope."""
    console.add("sites", [site(0), site(1)])
    console.add("groups", [group(0, START)])
    assert [each["name"] for each in get(console, "/sites").json()["data"]["sites"]] == [
        "Head office",
        "Plants",
    ]
    console.policies["sites", site(0)["id"]] = {"mitigationMode": "protect"}
    answer = get(console, f"/sites/{site(0)['id']}/policy")
    assert answer.json() == {"data": {"mitigationMode": "protect"}}
    assert get(console, "/groups/1/policy").status_code == 404


def test_a_missing_licence_or_permission_is_refused(console: SentinelOne) -> None:
    """A denied stream answers its status, the others answer."""
    console.denied["alerts"] = 403
    assert get(console, "/cloud-detection/alerts").status_code == 403
    assert get(console, "/activities").status_code == 200


def graphql(console: SentinelOne, **variables: Any) -> Any:
    """One GraphQL request."""
    return requests.post(
        f"{console.url}{API}/unifiedalerts/graphql",
        json={"query": "query { alerts(first: $first) { edges } }", "variables": variables},
        headers={"Authorization": f"ApiToken {console.token}"},
        timeout=10,
    ).json()


def test_unified_alerts_page_by_their_end_cursor(console: SentinelOne) -> None:
    """Newest first, `first` at a time, until hasNextPage is false."""
    console.add("unifiedalerts", (unified_alert(n, seconds(n)) for n in range(5)))
    found, after = [], None
    while True:
        page = graphql(console, first=2, **({"after": after} if after else {}))["data"]["alerts"]
        found += [edge["node"]["detectedAt"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert found == [when(seconds(n), 3) for n in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize(
    "variables",
    [
        {"first": 101},
        {"first": "many"},
        {"filters": [{"fieldId": "severity", "dateTimeRange": {}}]},
        {"filters": [{"fieldId": "detectedAt"}]},
    ],
)
def test_graphql_says_no_in_a_200(console: SentinelOne, variables: dict[str, Any]) -> None:
    """An error comes as `errors` beside no data."""
    answer = graphql(console, **variables)
    assert answer["data"] is None
    assert answer["errors"][0]["message"]
