"""Jira's audit records: newest first, by offset, while the log moves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.loopback.faults import first
from local.vendors.jira import Jira
from shared.errors import VendorAnswerInvalid
from shared.source import ascending
from tests.connectors.makers import DAY, audit_record, ids, source


@pytest.fixture
def jira() -> Iterator[Jira]:
    with Jira() as vendor:
        yield vendor


def numbers(*spans: range) -> list[str]:
    return [str(number) for span in spans for number in span]


def test_records_come_oldest_first(jira: Jira) -> None:
    """What Jira gives newest first is turned round, so that there is one rule of commit."""
    jira.add(audit_record(n, n) for n in range(2_500))
    assert ids(source(jira).pages(DAY)) == numbers(range(2_500))


def test_an_idle_poll_is_one_request(jira: Jira) -> None:
    """A window of less than a page needs no second request to know that it ends."""
    jira.add(audit_record(n, n) for n in range(5))
    assert len(ids(source(jira).pages(DAY))) == 5
    assert len(jira.requests) == 1


def test_a_window_of_more_than_ten_pages_is_halved(jira: Jira) -> None:
    """Older half first and each part bounded, so that memory is too."""
    jira.add(audit_record(n, n * 5) for n in range(16_000))
    pages = list(source(jira).pages(DAY))
    assert list(dict.fromkeys(ids(iter(pages)))) == numbers(range(16_000))
    assert max(len(page.records) for page in pages) <= ascending.PAGES * 1000


def test_more_than_ten_pages_within_a_second_are_taken_all_the_same(jira: Jira) -> None:
    """A window is never halved under a second: thousands of ties arrive."""
    jira.longest_page = 100
    jira.add(audit_record(n, 100) for n in range(1_500))
    assert sorted(map(int, ids(source(jira).pages(DAY)))) == list(range(1_500))


def test_pages_shorter_than_asked_lose_nothing(jira: Jira) -> None:
    """The offset moves by what came, not by what was asked for."""
    jira.longest_page = 7
    jira.add(audit_record(n, n) for n in range(50))
    assert ids(source(jira).pages(DAY)) == numbers(range(50))


def test_a_total_larger_than_what_exists_does_not_loop(jira: Jira) -> None:
    """An empty page ends the walk, whatever total says."""
    jira.phantom_total = 40
    jira.add(audit_record(n, n) for n in range(30))
    assert ids(source(jira).pages(DAY)) == numbers(range(30))


def test_a_total_of_thousands_that_never_come_halves_no_window(jira: Jira) -> None:
    """A quiet site would be asked for every second of the day."""
    jira.phantom_total = 20_000
    jira.add(audit_record(n, n * 25) for n in range(2_500))
    assert list(dict.fromkeys(ids(source(jira).pages(DAY)))) == numbers(range(2_500))
    assert len(jira.requests) < 30


def test_records_that_arrive_between_pages_cost_none(jira: Jira) -> None:
    """They push others to the next page, where these come twice; nothing is skipped."""
    jira.longest_page = 10
    jira.add(audit_record(n, n) for n in range(40))
    late = [audit_record(100 + n, 39) for n in range(5)]
    jira.faults.add("auditing", first(list), first(lambda: jira.add(late)))
    assert set(ids(source(jira).pages(DAY))) >= set(numbers(range(40)))


def test_a_walk_keeps_its_from_and_to(jira: Jira) -> None:
    """Offsets mean the same records on every page."""
    jira.longest_page = 10
    jira.add(audit_record(n, n) for n in range(35))
    ids(source(jira).pages(DAY))
    asked = {(request.params["from"], request.params["to"]) for request in jira.requests}
    assert asked == {("2026-03-01T12:00:00.000+0000", "2026-03-02T12:00:00.000+0000")}


def test_a_record_that_is_no_object_is_an_error(jira: Jira) -> None:
    """A page that breaks its promise is not half a page."""
    from local.loopback.faults import answer

    jira.faults.add("auditing", answer(200, '{"records": ["x"], "total": 1}'))
    with pytest.raises(VendorAnswerInvalid, match="no objects"):
        ids(source(jira).pages(DAY))
