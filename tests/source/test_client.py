"""The vendor client against a failing vendor, over real HTTP."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web

from local.loopback.faults import (
    FOREVER,
    Fault,
    answer,
    changed,
    drip,
    html,
    reset,
    silence,
    truncated,
)
from local.vendors.jira import Jira
from local.vendors.sentinelone import SentinelOne
from shared.connections.opening import advice_for
from shared.connectors import jira as jira_connector
from shared.errors import VendorAnswerInvalid, VendorError, VendorRefused, VendorUnavailable
from tests.connectors.makers import DAY, audit_record, connect, ids, record_of, source

JIRA = "auditing"
ACTIVITIES = "/activities"


@pytest.fixture
def jira() -> Iterator[Jira]:
    with Jira() as vendor:
        vendor.add(audit_record(number, number) for number in range(3))
        yield vendor


@pytest.fixture
def sentinelone() -> Iterator[SentinelOne]:
    with SentinelOne() as vendor:
        vendor.add("activities", (record_of("activities", n, n) for n in range(3)))
        yield vendor


def failure(vendor: Jira | SentinelOne, seconds: float = 60.0) -> VendorError:
    name = "jiraaudit" if isinstance(vendor, Jira) else "activities"
    with pytest.raises(VendorError) as raised:
        ids(source(vendor, name, seconds).pages(DAY))
    return raised.value


def in_seconds(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(answer(429, headers={"Retry-After": "1"}), id="429, Retry-After in seconds"),
        pytest.param(answer(429, headers={"Retry-After": in_seconds(1)}), id="429, as a date"),
        pytest.param(answer(429), id="429 without Retry-After"),
        pytest.param(answer(503, headers={"Retry-After": "0"}), id="503"),
        pytest.param(answer(500, "<html>"), id="500 with a page"),
        pytest.param(reset(), id="reset"),
        pytest.param(truncated(), id="truncated body"),
    ],
)
def test_what_may_pass_is_tried_again(jira: Jira, fault: Fault) -> None:
    """A failed response costs a retry, not a record."""
    jira.faults.add(JIRA, fault)
    connection = connect(jira)
    assert ids(connection.sources[0].pages(DAY)) == ["0", "1", "2"]
    assert connection.client.retries == 1


def test_an_outage_ends_with_the_runs_time_and_says_that_nothing_is_lost(jira: Jira) -> None:
    """The run's budget bounds the retries; the next run continues."""
    jira.faults.add(JIRA, answer(502), times=50)
    error = failure(jira, seconds=2)
    assert isinstance(error, VendorUnavailable)
    assert error.status == 502
    assert "HTTP 502" in str(error)
    assert "Nothing is lost" in str(error)


def test_a_retry_after_beyond_the_runs_time_is_not_waited_for(jira: Jira) -> None:
    """A Retry-After of an hour ends the run at once, and the message has its length."""
    jira.faults.add(JIRA, answer(429, headers={"Retry-After": "3600"}), times=50)
    before = time.monotonic()
    assert "it asks to wait 3600 s" in str(failure(jira))
    assert time.monotonic() - before < 30
    assert len(jira.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [pytest.param(silence(), id="no answer"), pytest.param(drip(200, 0.05), id="slow drip")],
)
def test_an_answer_that_does_not_come_ends_with_the_runs_time(jira: Jira, fault: Fault) -> None:
    """Neither silence nor a slow drip of bytes exceeds the run's budget."""
    jira.faults.add(JIRA, fault, times=50)
    assert isinstance(failure(jira, seconds=1.5), VendorUnavailable)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "JiraUsername and JiraAccessToken"),
        (403, "Administer Jira"),
        (404, "JiraHomeSiteName"),
        (302, "JiraHomeSiteName"),
    ],
)
def test_jiras_refusals_name_what_to_look_at(jira: Jira, status: int, said: str) -> None:
    """A refusal is not retried, and the message names the setting or permission."""
    jira.faults.add(JIRA, answer(status, headers={"Location": "https://id.example"}), times=50)
    error = failure(jira)
    assert said in str(error)
    assert len(jira.requests) == 1


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "SentinelOneAPIToken"), (403, "Viewer"), (404, "SentinelOneUrl")],
)
def test_sentinelones_refusals_name_what_to_look_at(
    sentinelone: SentinelOne, status: int, said: str
) -> None:
    """A final status is not retried, and the message names the setting or permission."""
    sentinelone.faults.add(ACTIVITIES, answer(status), times=50)
    error = failure(sentinelone)
    assert isinstance(error, VendorRefused)
    assert error.status == status
    assert said in str(error)
    assert len(sentinelone.requests) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        pytest.param(html(), "text/html instead of JSON", id="a login page"),
        pytest.param(answer(200), "an empty body", id="an empty body"),
        pytest.param(answer(200, "[]"), "without 'data'", id="another shape"),
        pytest.param(answer(200, '{"pagination": {}}'), "without 'data'", id="no data"),
        pytest.param(answer(200, '{"data": {"a": 1}}'), "no list of objects", id="data no list"),
        pytest.param(answer(200, '{"data": [1]}'), "no list of objects", id="elements no objects"),
        pytest.param(
            answer(200, '{"errors": [{"code": 4000010, "title": "Bad", "detail": "hush"}]}'),
            "error in a 200: 4000010 Bad",
            id="errors in a 200",
        ),
        pytest.param(
            answer(200, '{"data": [], "pagination": {"nextCursor": 7}}'), "no text", id="cursor"
        ),
        pytest.param(
            answer(200, gzip.compress(bytes(70_000_000)), {"Content-Encoding": "gzip"}),
            "more than 64,000,000 bytes",
            id="a bomb",
        ),
    ],
)
def test_a_body_that_is_not_what_was_promised_is_an_error(
    sentinelone: SentinelOne, fault: Fault, said: str
) -> None:
    """A body that cannot be read raises: an empty page would move the watermark."""
    sentinelone.faults.add(ACTIVITIES, fault, times=50)
    error = failure(sentinelone)
    assert isinstance(error, VendorAnswerInvalid)
    assert said in str(error)
    assert "hush" not in str(error)


def test_data_beside_an_error_is_taken(sentinelone: SentinelOne) -> None:
    """A SentinelOne response may have an empty list of errors beside its data."""
    sentinelone.faults.add(ACTIVITIES, changed(lambda body: b'{"errors":[{}],' + body[1:]))
    assert ids(source(sentinelone, "activities").pages(DAY)) == ["0", "1", "2"]


def test_no_error_shows_the_token_or_the_query(sentinelone: SentinelOne) -> None:
    """An error may be copied into a ticket."""
    sentinelone.faults.add(ACTIVITIES, reset(), times=50)
    error = failure(sentinelone, seconds=1)
    assert sentinelone.token not in repr(error) + repr(error.__cause__)
    assert "createdAt" not in repr(error) + repr(error.__cause__)


def larger_than(limit: int) -> Callable[[web.Request], bool]:
    return lambda request: int(request.query["limit"]) > limit


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(answer(504), id="a gateway gave up"),
        pytest.param(answer(408), id="the vendor gave up"),
        pytest.param(silence(), id="no answer in time"),
        pytest.param(drip(200, 0.02), id="an answer that takes too long"),
    ],
)
@pytest.mark.parametrize("vendor", ["jira", "sentinelone"])
def test_a_vendor_too_slow_for_large_pages_gives_small_ones(
    vendor: str, fault: Fault, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run gets on: after one large page that does not come, all others are smaller."""
    monkeypatch.setattr("shared.source.client._FIRST_WAIT", 0.01)
    monkeypatch.setattr("shared.source.client._READ_SECONDS", 0.3)
    monkeypatch.setattr("shared.source.client._ANSWER_SECONDS", 0.3)
    slow: Jira | SentinelOne = request.getfixturevalue(vendor)
    slow.faults.add("", fault.only(larger_than(250)), times=FOREVER)
    pages = source(slow, "jiraaudit" if vendor == "jira" else "activities").pages(DAY)
    assert ids(pages) == ["0", "1", "2"]
    assert len(slow.requests) <= 3


def test_an_answer_too_large_is_asked_for_in_smaller_pages(
    sentinelone: SentinelOne, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the least page is too large: then it says so."""
    monkeypatch.setattr("shared.source.client.MAX_ANSWER_BYTES", 60_000)
    sentinelone.add("activities", (record_of("activities", n, n) for n in range(3, 700)))
    assert len(ids(source(sentinelone, "activities").pages(DAY))) == 700
    monkeypatch.setattr("shared.source.client.MAX_ANSWER_BYTES", 100)
    assert "more than 100 bytes" in str(failure(sentinelone))


def test_a_host_without_an_address_names_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most often its name is misspelt: "ConnectionError" sends a person to the network."""
    for proxy in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    settings = jira_connector.JiraSettings("https://misspelt.invalid", "a@acme.example", "t0ken")
    connection = jira_connector.connect(settings, advice_for(jira_connector.CONNECTOR))
    connection.client.begin(time.monotonic() + 2)
    with pytest.raises(VendorUnavailable, match="no address") as raised:
        connection.client.get("https://misspelt.invalid/x", {"token": "s3cret"})
    assert "JiraHomeSiteName" in str(raised.value)
    assert "s3cret" not in str(raised.value)
