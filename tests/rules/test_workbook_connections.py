"""The workbook's panels over several connections: ids are unique within one of them only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.rules.files import workbook_queries
from tests.rules.sentinel import HOUR, MINUTE, NOON, Clock
from tests.rules.vendors import HEALTH, JIRA, ONELOGIN, THREATS, health, jira, onelogin, threat

pytestmark = pytest.mark.slow

EMEA = {"AdditionalFields": {"Connection": "emea"}}
QUERIES = workbook_queries()


def rows(clock: Clock, panel: str) -> list[dict[str, Any]]:
    (query,) = [text for name, text in QUERIES.items() if name.startswith(f"workbook {panel}")]
    return clock.workspace.query(query).dicts()


@pytest.fixture
def clock() -> Iterator[Clock]:
    opened = Clock()
    opened.now = NOON
    yield opened
    opened.workspace.close()


def test_records_of_two_connections_with_one_id_are_two(clock: Clock) -> None:
    """Each panel counts both, and a row that was sent twice once."""
    record = jira("Group deleted", NOON)
    event = onelogin(6, NOON)
    open_one = threat(NOON, NOON)
    settled = threat(NOON, NOON + MINUTE, mitigation="mitigated")
    clock.workspace.ingest(JIRA, [record, record, {**record, **EMEA}])
    clock.workspace.ingest(ONELOGIN, [event, event, {**event, **EMEA}])
    clock.workspace.ingest(THREATS, [open_one, settled, {**open_one, **EMEA}])
    assert [row["Records"] for row in rows(clock, "Jira: What happened most")] == [2]
    assert len(rows(clock, "Jira: Users, groups and permissions")) == 2
    assert [row["Logins"] for row in rows(clock, "OneLogin: Logins to")] == [2]
    assert [row["Failures"] for row in rows(clock, "OneLogin: Users whose logins failed")] == [2]
    assert [row["Connection"] for row in rows(clock, "SentinelOne: Threats not")] == ["emea"]
    assert [row["Threats"] for row in rows(clock, "SentinelOne: Machines with")] == [2]


def test_health_is_shown_by_connection_and_counted_once(clock: Clock) -> None:
    """A named connection's row ``all`` has its streams' sum; a failure that is over is gone."""
    bad = {"Status": "failing", "ErrorClass": "VendorRefused", "Message": "no", "Records": 2}

    def runs(hours: int, run: str, connection: str, *failing: str) -> list[dict[str, Any]]:
        at = NOON - hours * HOUR
        named = {"Connection": connection, "RunId": run}
        status = "failing" if failing else "ok"
        total = health(at, **named, Stream="all", Status=status, Records=7)
        return [total, *(health(at, **named, Stream=name, **bad) for name in failing)]

    clock.workspace.ingest(
        HEALTH,
        [
            health(NOON - HOUR, Status="ok", Records=1),
            *runs(3, "e1", "emea", "threats"),
            *runs(1, "e2", "emea"),
            *runs(1, "a1", "apac", "agents"),
        ],
    )
    states = [
        (row["Connection"] or "", row["Stream"], row["Status"])
        for row in rows(clock, "Health: Streams as they stand")
    ]
    assert states == [
        ("", "Custom-SentinelOneThreats", "ok"),
        ("apac", "agents", "failing"),
        ("apac", "all", "failing"),
        ("emea", "all", "ok"),
    ]
    assert sum(row["Records"] for row in rows(clock, "Health: Records delivered")) == 22
    assert {row["Connection"] for row in rows(clock, "Health: Why runs failed")} == {"emea", "apac"}
