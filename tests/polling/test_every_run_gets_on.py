"""Every run gets on: more than a run can read at one moment, out of order, or scope by scope."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from aiohttp import web

from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import FOREVER, answer, changed
from local.vendors.jira import Jira
from local.vendors.sentinelone import SentinelOne
from shared.connectors.jira import CONNECTOR as JIRA
from shared.connectors.sentinelone import CONNECTOR as SENTINELONE
from shared.errors import NoProgress
from shared.polling import stream_poll
from shared.records.timestamps import utc_now
from shared.telemetry.run import RunState
from tests.app import App
from tests.polling.short_runs import ShortRuns
from tests.polling.timers import activities, ago, arrived, poll_sentinelone

pytestmark = pytest.mark.usefixtures("settings_env")
COUNT = 16_000
POLICIES = "Custom-SentinelOnePolicies"

Runs = Callable[..., ShortRuns]


@pytest.fixture
def runs(sentinelone: SentinelOne, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Runs of one of SentinelOne's streams, each of so many requests."""

    def make(stream: str, pages: int) -> ShortRuns:
        return ShortRuns(SENTINELONE, stream, sentinelone, pages, monkeypatch)

    return make


def with_cursor(request: web.Request) -> bool:
    return "cursor" in request.query


def test_more_records_of_one_moment_than_a_run_can_read_arrive(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, runs: Runs
) -> None:
    """Each run of ten pages goes on behind the cursor of the last one; what is behind arrives."""
    sentinelone.add("activities", activities(range(COUNT), hours=3))
    sentinelone.add("activities", activities(range(COUNT, COUNT + 3_000), hours=2))
    results = runs("activities", 10).until_done(most=4)
    assert arrived(azure_monitor) == Counter(str(n) for n in range(COUNT + 3_000))
    assert all(result.records > 0 for result in results[:-1])
    assert sum(result.requests for result in results) < 60


def test_a_moment_after_the_vendors_clock_is_read_over_several_runs(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, runs: Runs
) -> None:
    """The position does not move beyond that clock; the cursor alone tells how far a run came."""
    sentinelone.server.now = lambda: utc_now() - timedelta(minutes=10)
    sentinelone.add("activities", activities(range(6_000), minutes=5))
    short = runs("activities", 3)
    for _ in range(5):
        # Behind its window a run begins the next one, which the clock that stands still does not
        # move on: it is not to be read to its end.
        short.run()
    assert arrived(azure_monitor) == Counter(str(n) for n in range(6_000))


def test_a_moment_whose_pages_are_out_of_order_is_read_over_several_runs(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, runs: Runs
) -> None:
    """A record of each page is older than those before it, so that no page moves the position."""
    ties = activities(range(6_000), hours=3)
    sentinelone.add("activities", ties)
    moment, older = ties[0]["createdAt"].encode(), ago(hours=4).encode()
    odd = changed(lambda body: older.join(body.rsplit(moment, 2)))
    sentinelone.faults.add("activities", odd, times=FOREVER)
    runs("activities", 3).until_done(most=8)
    assert set(arrived(azure_monitor)) == {str(n) for n in range(6_000)}


def test_hundreds_of_thousands_of_one_day_arrive(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, runs: Runs, only: Callable[[str], None]
) -> None:
    """An inventory of applications dated by the day, read over several runs, each record once."""
    day = {"installedAt": "2024-02-29T00:00:00Z"}
    sentinelone.add("applications", ({"id": str(n), **day} for n in range(30_000)))
    runs("applications", 12).until_done(most=4)
    assert len(azure_monitor.records("Custom-SentinelOneApplications")) == 30_000
    assert set(arrived(azure_monitor, "Custom-SentinelOneApplications").values()) == {1}


def test_a_cursor_that_is_refused_in_the_next_run_loses_nothing(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, runs: Runs
) -> None:
    """It is read anew from the position: known records are passed over, and the tie goes on."""
    sentinelone.add("activities", activities(range(COUNT), hours=3))
    short = runs("activities", 10)
    short.run()
    sentinelone.faults.add("activities", answer(400).only(with_cursor))
    short.pages = 25
    short.until_done(most=3)
    assert arrived(azure_monitor) == Counter(str(n) for n in range(COUNT))


@pytest.mark.parametrize("hours", [20, 1], ids=["too old", "too new"])
def test_a_record_out_of_order_early_in_a_backlog_does_not_stop_it(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, runs: Runs, hours: int
) -> None:
    """The first page has a record out of order; each run of two pages comes two pages further."""
    sentinelone.add(
        "activities",
        ({"id": str(n), "createdAt": ago(hours=10, seconds=-n)} for n in range(9_000)),
    )

    def disorder(body: bytes) -> bytes:
        found = json.loads(body)
        found["data"][500]["createdAt"] = ago(hours=hours)
        return json.dumps(found).encode()

    sentinelone.faults.add("activities", changed(disorder))
    results = runs("activities", 2).until_done(most=9)
    assert arrived(azure_monitor) == Counter(str(n) for n in range(9_000))
    assert sum(result.repeats for result in results) < 4_000


def test_more_of_jiras_records_in_a_second_than_a_run_can_read_arrive(
    jira: Jira, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a second the offset is kept."""
    moment = (utc_now() - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.250+0000")
    before = (utc_now() - timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M:%S.250+0000")
    jira.add({"id": n, "created": moment} for n in range(COUNT))
    jira.add({"id": n, "created": before} for n in range(COUNT, COUNT + 200))
    results = ShortRuns(JIRA, "jiraaudit", jira, 10, monkeypatch).until_done(most=8)
    counts = arrived(azure_monitor, "Custom-JiraAudit")
    assert counts == Counter(str(n) for n in range(COUNT + 200))
    assert len(results) > 2
    # Where the moment happens to lie on the edge of two parts, both bring it.
    assert sum(result.repeats for result in results) in (0, COUNT)


def test_a_tie_on_the_edge_of_two_parts_arrives_once(
    jira: Jira, azure_monitor: AzureMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jira includes both ends of a window: the second part brings what the first one brought."""
    now = utc_now().replace(microsecond=0)
    monkeypatch.setattr(stream_poll, "utc_now", lambda: now)
    monkeypatch.setenv("InitialLookbackHours", str(2 / 3600))
    moment = (now - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    jira.add({"id": n, "created": moment} for n in range(COUNT))
    results = ShortRuns(JIRA, "jiraaudit", jira, 10, monkeypatch).until_done(most=8)
    assert arrived(azure_monitor, "Custom-JiraAudit") == Counter(str(n) for n in range(COUNT))
    assert sum(result.repeats for result in results) == COUNT


@pytest.mark.parametrize("refused", [False, True])
def test_more_unified_alerts_of_a_moment_than_a_run_can_read_arrive(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, runs: Runs, *, refused: bool
) -> None:
    """GraphQL's cursor is kept; where a later run is refused it, the moment is read anew."""
    moment = ago(hours=2)
    sentinelone.add("unifiedalerts", ({"id": str(n), "detectedAt": moment} for n in range(3_000)))
    short = runs("unifiedalerts", 12)
    while not short.run().records:
        pass
    if refused:
        no = answer(200, '{"data": null, "errors": [{"message": "Validation error: after"}]}')
        sentinelone.faults.add("graphql", no)
        short.pages = 60
    short.until_done(most=6)
    counts = arrived(azure_monitor, "Custom-SentinelOneUnifiedAlerts")
    assert counts == Counter(str(n) for n in range(3_000))


def scopes(console: SentinelOne, count: int, mode: str = "detect") -> None:
    console.add("sites", [{"id": f"{n:06}", "name": f"Site {n}"} for n in range(count)])
    console.policies |= {("sites", f"{n:06}"): {"mitigationMode": mode} for n in range(count)}


def test_policies_of_more_scopes_than_a_run_can_ask_arrive_over_a_few(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, runs: Runs, only: Callable[[str], None]
) -> None:
    """No run begins again with the first scope; then the vendor is left alone until due."""
    scopes(sentinelone, 60)
    short = runs("policies", 20)
    results = short.until_done(most=5)
    assert len(results) > 2
    sent = Counter(record["scopeId"] for record in azure_monitor.records(POLICIES))
    assert sent == Counter(["", *(f"{n:06}" for n in range(60))])
    asked = Counter(request.path for request in sentinelone.requests if "/policy" in request.path)
    assert max(asked.values()) == 1
    sentinelone.requests.clear()
    only("policies")
    assert poll_sentinelone() == {}
    assert sentinelone.requests == []


def test_a_policy_that_changes_back_is_sent_by_runs_that_each_read_a_part(
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    runs: Runs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last state sent counts, also where no run reads all scopes."""
    monkeypatch.setenv("SentinelOneInventoryMinutes", "0")
    scopes(sentinelone, 30)
    short = runs("policies", 12)
    for mode in ("detect", "protect", "protect", "detect", "detect"):
        sentinelone.policies["sites", "000003"] = {"mitigationMode": mode}
        short.until_done(most=5)
    records = azure_monitor.records(POLICIES)
    sent = [r["mitigationMode"] for r in records if r["scopeId"] == "000003"]
    assert sent == ["detect", "protect", "detect"]
    assert len(records) == 31 + 2


def test_thousands_of_scopes_are_listed_page_by_page(sentinelone: SentinelOne, runs: Runs) -> None:
    """A run goes on in the page of the list that has the last scope; earlier ones are not read."""
    groups = [{"id": f"{n:06}", "updatedAt": ago(hours=1)} for n in range(2_000)]
    sentinelone.add("groups", groups)
    sentinelone.policies |= {("groups", group["id"]): {} for group in groups}
    results = runs("policies", 500).until_done(most=6)
    lists = sum(1 for r in sentinelone.requests if r.path.endswith("/groups"))
    assert lists <= 7 + len(results)


def test_a_scope_that_is_gone_in_the_next_run_costs_none_of_the_others(
    sentinelone: SentinelOne, azure_monitor: AzureMonitor, runs: Runs
) -> None:
    """Its page of the list is read again."""
    scopes(sentinelone, 40)
    short = runs("policies", 20)
    short.run()
    last = max(r.path.split("/")[-2] for r in sentinelone.requests if "/sites/" in r.path)
    sentinelone.streams["sites"].remove(last)
    short.until_done(most=9)
    sent = {record["scopeId"] for record in azure_monitor.records(POLICIES)}
    assert sent == {"", *(f"{n:06}" for n in range(40))}


def test_runs_that_come_no_further_are_failing(
    app: App, sentinelone: SentinelOne, runs: Runs
) -> None:
    """A vendor that refuses each kept cursor, and a tie larger than a run: stuck, and told."""
    sentinelone.add("activities", activities(range(COUNT), hours=3))
    short = runs("activities", 5)
    assert short.run().status == RunState.CATCHING_UP
    statuses = []
    for _ in range(3):
        sentinelone.faults.clear()
        sentinelone.faults.add("activities", answer(400).only(with_cursor))
        statuses.append(short.run().status)
    assert statuses[-1] == RunState.FAILING
    assert isinstance(short.error, NoProgress)
    shown = app.stream("SentinelOneActivities")
    assert shown["assessment"]["state"] == "failing"
    assert "without an end" in shown["assessment"]["reason"]
    assert "functionTimeout" in shown["assessment"]["advice"]
    sentinelone.faults.clear()
    short.pages = 40
    assert short.until_done(most=2)[-1].status in (RunState.OK, RunState.LATE)
    assert app.stream("SentinelOneActivities")["assessment"]["state"] != "failing"
