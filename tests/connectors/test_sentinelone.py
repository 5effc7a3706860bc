"""SentinelOne's ten streams, against a console that enforces the vendor's rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from local.loopback.faults import answer, changed, first
from local.vendors.sentinelone import SentinelOne
from shared.connectors.sentinelone import LISTS
from shared.errors import VendorAnswerInvalid, VendorRefused
from shared.polling.prefetch import SubWindow, prefetch_pages
from shared.polling.prepare import RecordPreparer
from shared.records.raw import decoded
from shared.source.stream import Window
from tests.connectors.makers import DAY, START, at, ids, record_of, source


@pytest.fixture
def console() -> Iterator[SentinelOne]:
    with SentinelOne() as vendor:
        yield vendor


@pytest.mark.parametrize("stream", [*LISTS, "unifiedalerts"])
def test_every_stream_is_read_to_its_end_oldest_first(console: SentinelOne, stream: str) -> None:
    """By the filter, the sort and the page limit that the endpoint has."""
    console.add(stream, (record_of(stream, n, n) for n in range(2_300)))
    found = list(dict.fromkeys(ids(source(console, stream).pages(DAY))))
    assert found == [str(n) for n in range(2_300)]
    assert {request.status for request in console.requests} == {200}


@pytest.mark.parametrize("stream", [*LISTS, "unifiedalerts"])
def test_a_windows_edges_are_shared_without_a_gap(console: SentinelOne, stream: str) -> None:
    """A record on the very edge of two windows is in at least one of them."""
    console.add(stream, (record_of(stream, n, n * 0.0005) for n in range(40)))
    edge = START + timedelta(seconds=0.0100005)
    reader = source(console, stream)
    early = ids(reader.pages(Window(START, edge)))
    late = ids(reader.pages(Window(edge, DAY.end)))
    assert set(early) | set(late) == {str(n) for n in range(40)}


@pytest.mark.parametrize("last", ["null", "missing"])
@pytest.mark.parametrize("encoded", [False, True])
def test_cursors_of_every_kind_lead_to_the_end(
    console: SentinelOne, last: Any, encoded: bool
) -> None:
    """The last page has a null cursor or none; one may come percent-encoded already."""
    console.last_cursor, console.encoded_cursors = last, encoded
    console.add("activities", (record_of("activities", n, n) for n in range(2_500)))
    assert len(set(ids(source(console, "activities").pages(DAY)))) == 2_500


def test_a_cursor_refused_half_way_loses_nothing(console: SentinelOne) -> None:
    """The walk begins anew at the last record's time; the engine knows what comes twice."""
    console.add("activities", (record_of("activities", n, n // 10) for n in range(3_500)))
    refused = answer(400, '{"errors": [{"code": 4000040, "title": "Validation Error"}]}')
    console.faults.add("activities", refused.only(lambda request: "cursor" in request.query))
    assert set(ids(source(console, "activities").pages(DAY))) == {str(n) for n in range(3_500)}


def test_a_console_that_refuses_every_cursor_is_read_all_the_same(console: SentinelOne) -> None:
    """Each walk that began anew came further, so it goes on."""
    console.add("activities", (record_of("activities", n, n) for n in range(6_500)))
    refused = answer(400).only(lambda request: "cursor" in request.query)
    console.faults.add("activities", refused, times=99)
    assert set(ids(source(console, "activities").pages(DAY))) == {str(n) for n in range(6_500)}


def test_a_walk_that_comes_no_further_is_an_error(console: SentinelOne) -> None:
    """More ties than a page holds need a cursor; without one the stream says so."""
    console.add("activities", (record_of("activities", n, 7) for n in range(1_500)))
    refused = answer(400).only(lambda request: "cursor" in request.query)
    console.faults.add("activities", refused, times=99)
    with pytest.raises(VendorRefused):
        ids(source(console, "activities").pages(DAY))


@pytest.mark.parametrize("stream", ["activities", "sites", "unifiedalerts"])
@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_cursor_that_repeats_is_an_error(console: SentinelOne, stream: str, length: int) -> None:
    """A console that sends a walk round in circles is noticed, also in one of several pages."""
    for number in range(99):
        cursor = f"c{number % length}"
        alerts = {"edges": [], "pageInfo": {"endCursor": cursor, "hasNextPage": True}}
        data = {"sites": [], "alerts": alerts} if stream != "activities" else []
        page = {"data": data, "pagination": {"nextCursor": cursor}}
        console.faults.add("/web/api", answer(200, json.dumps(page)))
    with pytest.raises(VendorAnswerInvalid, match=r"same (next|end)Cursor twice"):
        ids(source(console, stream).pages(DAY))
    assert len(console.requests) <= 2 + 3 * length


def test_an_object_updated_while_walking_is_read_in_its_new_place(console: SentinelOne) -> None:
    """It moves to the end of the sort, and is found there."""
    console.add("agents", (record_of("agents", n, n) for n in range(2_500)))
    move = first(lambda: console.update("agents", "1500", {"updatedAt": at(5_000)}))
    console.faults.add("agents", move.only(lambda request: "cursor" in request.query))
    found = ids(source(console, "agents").pages(DAY))
    assert set(found) == {str(n) for n in range(2_500)}
    assert found[-1] == "1500"


def newer_than_the_window(field: str) -> Callable[[bytes], bytes]:
    """A console whose index is behind: the last object found was changed since."""

    def change(body: bytes) -> bytes:
        found = json.loads(body)
        found["data"][-1][field] = at(90_000)
        return json.dumps(found).encode()

    return change


def test_a_record_newer_than_its_window_hides_no_backlog(console: SentinelOne) -> None:
    """The walk goes on from where the others are, not from where that one is."""
    console.add("agents", (record_of("agents", n, n) for n in range(9_000)))
    console.faults.add("/agents", changed(newer_than_the_window("updatedAt")))
    reader = source(console, "agents")
    pages = prefetch_pages(reader, DAY, RecordPreparer(reader.stream, None))
    found = {json.loads(body)["id"] for page in pages for body in page.bodies}
    assert found == {str(n) for n in range(9_000)}


def test_a_record_newer_than_its_window_hides_nothing_behind_a_refused_cursor(
    console: SentinelOne,
) -> None:
    """The walk begins anew before the window's end, whatever the last record says."""
    console.add("agents", (record_of("agents", n, n) for n in range(2_500)))
    console.faults.add("/agents", changed(newer_than_the_window("updatedAt")))
    refused = answer(400).only(lambda request: "cursor" in request.query)
    console.faults.add("/agents", refused)
    assert set(ids(source(console, "agents").pages(DAY))) == {str(n) for n in range(2_500)}


def test_a_backlog_is_cut_side_by_side_and_comes_in_order(console: SentinelOne) -> None:
    """Sub-windows share their edges; each record is there, ascending."""
    console.add("activities", (record_of("activities", n, n * 3) for n in range(20_000)))
    reader = source(console, "activities")
    pages = prefetch_pages(reader, DAY, RecordPreparer(reader.stream, None))
    times = [moment for page in pages for moment in page.times if moment]
    assert len(set(times)) == 20_000
    assert times == sorted(times)
    windows = {request.params["createdAt__gte"] for request in console.requests}
    assert len(windows) > 4


def test_a_sub_window_that_is_not_wanted_any_more_is_not_begun(console: SentinelOne) -> None:
    """What waited for its turn when the run's time was over costs no request."""
    reader = source(console, "activities")
    part = SubWindow(DAY, 1_000)
    part.stop()
    part.fetch(reader, RecordPreparer(reader.stream, None))
    assert list(part) == []
    assert console.requests == []


def test_a_failure_inside_a_backlog_comes_at_its_place(console: SentinelOne) -> None:
    """What is older than the failed sub-window is handed on before the error is raised."""
    console.add("activities", (record_of("activities", n, n * 3) for n in range(20_000)))
    broken = answer(403).only(lambda request: request.query["createdAt__gte"] > at(30_000))
    console.faults.add("activities", broken, times=99)
    reader = source(console, "activities")
    got: list[int] = []
    with pytest.raises(VendorRefused):
        got.extend(
            len(page.bodies)
            for page in prefetch_pages(reader, DAY, RecordPreparer(reader.stream, None))
        )
    assert 3_000 < sum(got) < 20_000


def test_sites_are_found_where_they_are_nested(console: SentinelOne) -> None:
    """``/sites`` has its list at data.sites."""
    console.add("sites", ({"id": str(n)} for n in range(3)))
    assert sorted(ids(source(console, "sites").pages(None))) == ["0", "1", "2"]


def test_a_policy_says_whose_it_is(console: SentinelOne) -> None:
    """Scope level, id and name are added to what the console does not say."""
    console.add("accounts", [{"id": "a1", "name": "Acme"}])
    console.add("sites", [{"id": "s1", "name": "Oslo"}])
    console.add("groups", [{**record_of("groups", 1, 0), "id": "g1", "name": "Servers"}])
    console.policies |= {
        ("accounts", "a1"): {"mitigationMode": "protect"},
        ("sites", "s1"): {"mitigationMode": "protect"},
        ("groups", "g1"): {"mitigationMode": "detect"},
    }
    found = list(policies(console))
    assert [(r["scopeLevel"], r["scopeId"], r["scopeName"]) for r in found] == [
        ("tenant", "", ""),
        ("account", "a1", "Acme"),
        ("site", "s1", "Oslo"),
        ("group", "g1", "Servers"),
    ]


def policies(console: SentinelOne) -> Iterator[dict[str, Any]]:
    for page in source(console, "policies").pages(None):
        yield from map(decoded, page.records)


def test_a_scope_the_token_may_not_see_is_passed_over(console: SentinelOne) -> None:
    """A site's token cannot read the tenant's policy, and still reads the site's."""
    console.add("sites", [{"id": "s1", "name": "Oslo"}])
    console.policies[("sites", "s1")] = {"mitigationMode": "protect"}
    console.faults.add("/tenant/policy", answer(403))
    console.faults.add("/accounts", answer(403))
    found = list(policies(console))
    assert [record["scopeLevel"] for record in found] == ["site"]


def test_no_policy_at_all_is_an_error(console: SentinelOne) -> None:
    """Then the stream is refused, and may turn itself off."""
    console.faults.add("policy", answer(403), times=99)
    with pytest.raises(VendorRefused):
        list(source(console, "policies").pages(None))


@pytest.mark.parametrize("data", ["[]", "null"])
def test_an_error_beside_no_data_is_an_error(console: SentinelOne, data: str) -> None:
    """An empty list that comes with an error does not say that there is nothing."""
    body = '{"errors": [{"code": 5000010, "title": "Server could not process"}], "data": %s}'
    console.faults.add("activities", answer(200, body % data))
    with pytest.raises(VendorAnswerInvalid, match="5000010 Server could not process"):
        list(source(console, "activities").pages(DAY))


def test_an_error_of_no_known_shape_is_an_error(console: SentinelOne) -> None:
    """Whatever stands there, it is not nothing."""
    console.faults.add("activities", answer(200, '{"errors": true, "data": []}'))
    with pytest.raises(VendorAnswerInvalid, match="error in a 200"):
        list(source(console, "activities").pages(DAY))


def test_an_error_of_graphql_is_an_error(console: SentinelOne) -> None:
    """GraphQL says no in a 200."""
    console.faults.add("graphql", answer(200, '{"data": null, "errors": [{"message": "no"}]}'))
    with pytest.raises(VendorAnswerInvalid, match="error in a 200"):
        list(source(console, "unifiedalerts").pages(DAY))
