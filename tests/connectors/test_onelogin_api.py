"""OneLogin's events by its API: the token, the window's edges, cursors, the limit of an hour."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import islice

import pytest

from local.loopback.faults import answer, first
from local.vendors.onelogin_api import PATH, TOKEN_PATH, OneLoginApi
from local.vendors.onelogin_records import listed_event
from shared.connections.opening import advice_for
from shared.connectors import onelogin as connector
from shared.errors import VendorAnswerInvalid, VendorRefused, VendorUnavailable
from shared.runtime.process import reset_process
from shared.source.connector import Connection
from shared.source.stream import Window
from tests.connectors.makers import DAY, START, ids


@pytest.fixture
def account() -> Iterator[OneLoginApi]:
    with OneLoginApi() as vendor:
        yield vendor


def connect(account: OneLoginApi, seconds: float = 60.0) -> Connection:
    """A run's connection, with ``seconds`` of time."""
    settings = connector.OneLoginSettings(
        "", "", account.url, account.client_id, account.client_secret, "api"
    )
    connection = connector.connect(settings, advice_for(connector.CONNECTOR))
    assert connection is not None
    connection.client.begin(time.monotonic() + seconds)
    return connection


def read(account: OneLoginApi, window: Window = DAY) -> list[str]:
    return ids(connect(account).sources[0].pages(window))


def numbers(*spans: range) -> list[str]:
    return [str(9_000_000 + number) for span in spans for number in span]


def add(account: OneLoginApi, span: range, step: float = 1.0) -> None:
    account.add(listed_event(n, START + timedelta(seconds=n * step)) for n in span)


def test_all_events_come_oldest_first(account: OneLoginApi) -> None:
    """Fifty a page, by cursor."""
    add(account, range(230))
    assert read(account) == numbers(range(230))
    assert account.server.count(PATH) == 5


def test_an_idle_poll_is_one_call(account: OneLoginApi) -> None:
    """A page without a cursor is the last; the token is that of an earlier run."""
    add(account, range(5))
    read(account)
    before = len(account.requests)
    assert read(account) == numbers(range(5))
    assert len(account.requests) - before == 1


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_window_has_its_first_moment_and_no_earlier_one(
    account: OneLoginApi, *, exclusive: bool
) -> None:
    """Whether OneLogin's ends are exclusive or not: no event on an edge is skipped."""
    account.exclusive = exclusive
    edge = START + timedelta(seconds=10)
    moments = [edge - timedelta(milliseconds=1), edge, edge + timedelta(milliseconds=1)]
    account.add(listed_event(n, at) for n, at in enumerate(moments))
    assert read(account, Window(edge, DAY.end)) == numbers(range(1, 3))


def test_a_window_that_ends_within_a_millisecond_has_that_millisecond(
    account: OneLoginApi,
) -> None:
    """Times are cut to milliseconds: an event in the end's own one is within the window."""
    account.add([listed_event(1, START + timedelta(microseconds=5_000))])
    window = Window(START, START + timedelta(microseconds=5_400))
    assert read(account, window) == numbers(range(1, 2))


def test_a_run_resumes_behind_a_cursor(account: OneLoginApi) -> None:
    """More events of one moment than a run can read do not begin again."""
    add(account, range(200), step=0)
    first_page = next(connect(account).sources[0].pages(DAY))
    source = connect(account).sources[0]
    rest = source.pages(DAY, first_page.cursor)  # type: ignore[call-arg]
    assert ids(rest) == numbers(range(50, 200))


def test_a_cursor_that_is_refused_half_way_costs_no_event(account: OneLoginApi) -> None:
    """The walk begins anew at the last event's time."""
    add(account, range(200))
    refused = answer(400, "{}").only(lambda request: "after_cursor" in request.query)
    account.faults.add(PATH, first(list).only(lambda r: "after_cursor" in r.query), refused)
    assert list(dict.fromkeys(read(account))) == numbers(range(200))
    assert account.faults.pending() == 0


def test_a_cursor_refused_among_late_events_passes_none_of_them(account: OneLoginApi) -> None:
    """The walk begins anew at the time of the last page's events, not at the latest one read."""
    add(account, range(50), step=10)
    late = (START + timedelta(seconds=60 + 2 * n) for n in range(100))
    account.add(listed_event(50 + n, at) for n, at in enumerate(late))
    refused = answer(400, "{}").only(lambda request: "after_cursor" in request.query)
    account.faults.add(PATH, first(list).only(lambda r: "after_cursor" in r.query), refused)
    assert set(read(account)) == set(numbers(range(150)))
    assert account.faults.pending() == 0


@pytest.mark.parametrize(
    ("minutes", "refused", "arrives"), [(9, True, True), (40, True, False), (40, False, True)]
)
def test_an_event_listed_late_is_passed_by_a_refused_cursor_alone(
    account: OneLoginApi, minutes: float, *, refused: bool, arrives: bool
) -> None:
    """The walk starts again an overlap before the last event: a later listed one is not met."""
    add(account, range(50), step=60)
    last = START + timedelta(minutes=49)
    account.add([listed_event(50, last - timedelta(minutes=minutes))])
    add(account, range(51, 90), step=60)
    if refused:
        refusal = answer(400, "{}").only(lambda request: "after_cursor" in request.query)
        account.faults.add(PATH, refusal)
    window = replace(DAY, overlap=timedelta(minutes=10))
    expected = set(numbers(range(90)))
    assert set(read(account, window)) == (expected if arrives else expected - {"9000050"})


def test_cursors_refused_again_and_again_within_an_overlap_cost_no_event(
    account: OneLoginApi,
) -> None:
    """Each walk begins at the same time, and comes a page further."""
    add(account, range(400))
    passes = first(list).only(lambda request: "after_cursor" in request.query)
    refused = answer(400, "{}").only(lambda request: "after_cursor" in request.query)
    for pages in range(7):
        account.faults.add(PATH, *[passes] * pages, refused)
    window = replace(DAY, overlap=timedelta(minutes=10))
    assert set(read(account, window)) == set(numbers(range(400)))
    assert account.faults.pending() == 0


def test_a_cursor_that_is_always_refused_is_an_error(account: OneLoginApi) -> None:
    """Not an endless walk."""
    add(account, range(200), step=0)
    refused = answer(400, "{}").only(lambda request: "after_cursor" in request.query)
    account.faults.add(PATH, refused, times=50)
    with pytest.raises(VendorRefused):
        read(account)


def test_a_stored_cursor_that_is_refused_is_read_from_the_position(account: OneLoginApi) -> None:
    """A cursor of an earlier run may have ended."""
    add(account, range(120))
    pages = connect(account).sources[0].pages(DAY, "2026-03-01T12:00:00.000000Z bm90aGluZw==")  # type: ignore[call-arg]
    assert ids(pages) == numbers(range(120))


def test_a_token_is_asked_for_once(account: OneLoginApi) -> None:
    """Runs of a process share it until it ends."""
    for _ in range(3):
        read(account)
    assert account.server.count(TOKEN_PATH) == 1


def test_a_token_is_renewed_before_it_ends(account: OneLoginApi) -> None:
    """A token with less than minutes left is not used for long."""
    account.token_seconds = 240
    read(account)
    with pytest.MonkeyPatch.context() as patch:
        later = time.monotonic() + 61
        patch.setattr("shared.source.credentials.time.monotonic", lambda: later)
        connection = connect(account, 600)
        ids(connection.sources[0].pages(DAY))
    assert account.server.count(TOKEN_PATH) == 2


def test_a_token_that_is_refused_is_renewed_once(account: OneLoginApi) -> None:
    """A revoked token costs no run."""
    add(account, range(10))
    read(account)
    account.revoke_tokens()
    assert read(account) == numbers(range(10))
    assert account.server.count(TOKEN_PATH) == 2


def test_a_wrong_secret_names_the_settings(account: OneLoginApi) -> None:
    """Sign-in is refused, and no event is asked for."""
    account.client_secret = "another"
    connection = connect(account)
    account.client_secret = "changed since"
    with pytest.raises(VendorRefused, match="OneLoginClientId and OneLoginClientSecret") as raised:
        next(connection.sources[0].pages(DAY))
    assert raised.value.status == 401
    assert account.server.count(PATH) == 0


def test_two_tokens_refused_end_the_run(account: OneLoginApi) -> None:
    """401 is answered by another token once, not for ever."""
    account.faults.add(PATH, answer(401, "{}"), times=9)
    with pytest.raises(VendorRefused):
        read(account)
    assert account.server.count(PATH) == 2


def test_a_missing_scope_is_named(account: OneLoginApi) -> None:
    """403 says which permission to give."""
    account.scope = False
    with pytest.raises(VendorRefused, match="Read Users"):
        read(account)


def test_the_limit_of_an_hour_is_waited_for(account: OneLoginApi) -> None:
    """X-RateLimit-Reset says when to ask again: what lies beyond the run's time is not tried."""
    account.server.now = lambda: START + timedelta(minutes=10)
    account.calls_an_hour = 2
    add(account, range(200))
    pages = connect(account).sources[0].pages(DAY)
    assert ids(islice(pages, 2)) == numbers(range(100))
    with pytest.raises(VendorUnavailable, match="it asks to wait 3000 s") as raised:
        next(pages)
    assert raised.value.status == 429
    assert account.server.count(PATH) == 3


def test_a_page_without_data_is_an_error(account: OneLoginApi) -> None:
    """A body that breaks its promise is no empty page."""
    account.faults.add(PATH, answer(200, '{"status": {}}'))
    with pytest.raises(VendorAnswerInvalid, match="'data'"):
        read(account)


def test_cursors_that_lead_in_a_circle_are_an_error(account: OneLoginApi) -> None:
    """Two pages that name each other as the next one end no run as one that merely takes long."""
    for number in range(9):
        page = {"data": [], "pagination": {"after_cursor": f"c{number % 2}"}}
        account.faults.add(PATH, answer(200, json.dumps(page)))
    with pytest.raises(VendorAnswerInvalid, match="same after_cursor twice"):
        read(account)


def test_a_token_without_text_is_an_error(account: OneLoginApi) -> None:
    """The token's answer is checked too."""
    reset_process()
    account.faults.add(TOKEN_PATH, answer(200, '{"access_token": 1, "expires_in": 5}'))
    with pytest.raises(VendorAnswerInvalid, match="access_token"):
        read(account)
