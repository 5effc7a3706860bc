"""The local OneLogin API keeps the vendor's rules: a token, fifty a page, so many calls an hour."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from local.vendors.onelogin_api import PATH, TOKEN_PATH, OneLoginApi
from local.vendors.onelogin_records import listed_event

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def account() -> Iterator[OneLoginApi]:
    """An account with 120 events, a second apart, ten minutes into an hour."""
    with OneLoginApi(now=lambda: START + timedelta(minutes=10)) as running:
        running.add(listed_event(n, START + timedelta(seconds=n)) for n in range(120))
        yield running


def token(account: OneLoginApi, secret: str = "") -> requests.Response:
    login = (account.client_id, secret or account.client_secret)
    body = {"grant_type": "client_credentials"}
    return requests.post(account.url + TOKEN_PATH, json=body, auth=login, timeout=10)


def get(account: OneLoginApi, **query: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token(account).json()['access_token']}"}
    return requests.get(account.url + PATH, params=query, headers=headers, timeout=10)


def test_a_token_is_asked_for(account: OneLoginApi) -> None:
    """Without one, or with a wrong secret, 401."""
    assert requests.get(account.url + PATH, timeout=10).status_code == 401
    assert token(account, "wrong").status_code == 401


def test_the_same_token_is_given_until_it_ends(account: OneLoginApi) -> None:
    """As OneLogin documents it."""
    assert token(account).json()["access_token"] == token(account).json()["access_token"]


def test_fifty_a_page_and_a_cursor_while_there_are_more(account: OneLoginApi) -> None:
    """However many are asked for."""
    pages = [get(account, limit=1000).json()]
    while cursor := pages[-1]["pagination"]["after_cursor"]:
        pages.append(get(account, after_cursor=cursor).json())
    assert [len(page["data"]) for page in pages] == [50, 50, 20]


def test_since_and_until_leave_out_their_own_moments(account: OneLoginApi) -> None:
    """Created after the one, and before the other."""
    found = get(account, since="2026-03-01T12:00:10.000Z", until="2026-03-01T12:00:13.000Z")
    assert [event["id"] for event in found.json()["data"]] == [9_000_011, 9_000_012]


def test_the_hours_calls_end(account: OneLoginApi) -> None:
    """Also those that another program used; the answer says when the next hour begins."""
    account.use(4_999)
    assert get(account).headers["X-RateLimit-Remaining"] == "0"
    refused = get(account)
    assert (refused.status_code, refused.headers["X-RateLimit-Reset"]) == (429, "3000")


@pytest.mark.parametrize("query", [{"sort": "name"}, {"since": "today"}, {"after_cursor": "x"}])
def test_what_is_not_understood_is_refused(account: OneLoginApi, query: dict[str, str]) -> None:
    """400, and no page of something else."""
    assert get(account, **query).status_code == 400
