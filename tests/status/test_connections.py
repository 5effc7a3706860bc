"""The status of many connections: a line each, the worst first, details by name."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from shared.azure import storage
from shared.records.timestamps import isoformat, utc_now
from shared.state.checkpoint import TABLE, partition_key
from shared.state.progress import FORMAT
from shared.telemetry.history import history_after
from shared.telemetry.run import RunCounters, RunState
from tests.app import ask

STREAMS = "alerts,threats,activities,agents"
# Nothing listens there.
NOBODY = "http://127.0.0.1:9"
NAMES = [f"console{number}" for number in range(150)]


@pytest.fixture
def many(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """150 consoles of four streams that ran a minute ago; the hundredth fails, one is wrong."""
    monkeypatch.setenv("SentinelOneStreams", STREAMS)
    for name in NAMES:
        monkeypatch.setenv(f"SentinelOneUrl__{name}", f"{NOBODY}/{name}")
        monkeypatch.setenv(f"SentinelOneAPIToken__{name}", "made-up-token-of-" + name)
        store_rows(name, failing=name == "console99")
    monkeypatch.setenv("SentinelOneUrl__console7", "console7")


def store_rows(name: str, *, failing: bool) -> None:
    """The four rows that a run of a minute ago left."""
    table = storage.table(TABLE)
    ran = utc_now() - timedelta(minutes=1)
    entities = []
    for stream in ("Alerts", "Threats", "Activities", "Agents"):
        full = f"Custom-SentinelOne{stream}"
        counters = RunCounters("SentinelOne", full, "run", ran)
        error = RuntimeError("HTTP 401: the token is wrong") if failing else None
        state = RunState.FAILING if failing else RunState.OK
        entities.append(
            {
                "PartitionKey": partition_key("SentinelOne", f"{NOBODY}/{name}", name),
                "RowKey": full,
                "format": FORMAT,
                "watermark": isoformat(ran),
                "looked_at": isoformat(ran),
                "history": history_after("", counters.result(state, error=error)),
            }
        )
    if name == NAMES[0]:
        table.create_table()
    table.submit_transaction([("create", entity) for entity in entities])


def page(**params: str) -> str:
    answer = ask("GET", params, accept="text/html")
    assert answer.status_code == 200
    return answer.get_body().decode()


@pytest.mark.usefixtures("many")
def test_150_connections_are_a_line_each_the_worst_first() -> None:
    """The page stays under 300 KB, and every name leads to its own streams, key and all."""
    shown = page(code="k&y")
    assert len(shown.encode()) < 300_000
    titles = re.findall(r"connection=SentinelOne%20(\w+)\"", shown)
    assert sorted(titles) == sorted(NAMES)
    assert titles[:2] == ["console7", "console99"]
    assert 'href="?code=k%26y&amp;connection=SentinelOne%20console99"' in shown
    assert "SentinelOneUrl__console7" in shown


@pytest.mark.usefixtures("many")
def test_a_connection_is_shown_by_a_part_of_its_name() -> None:
    """With all of its streams; the filter needs no script, and keeps the key."""
    shown = page(connection="CONSOLE99", code="k")
    assert ">SentinelOne console99</h2>" in shown
    assert len(re.findall(r">SentinelOne console\d+</h2>", shown)) == 1
    assert '<input type="hidden" name="code" value="k">' in shown
    assert "the token is wrong" in shown
    assert "<script" not in shown


@pytest.mark.usefixtures("many")
def test_json_takes_the_same_name() -> None:
    """A program asks for one connection and gets that one alone."""
    found = ask("GET", {"connection": "console99", "format": "json"}).get_body()
    assert found.count(b'"connection": "console') == 1
    assert b'"connection": "console99"' in found


@pytest.mark.usefixtures("many")
def test_a_probe_learns_by_the_status_code() -> None:
    """503 while something fails, for what asks by probe=1; a page and JSON stay 200."""
    assert ask("GET", {"probe": "1"}).status_code == 503
    assert ask("GET").status_code == 200
    assert ask("GET", {"probe": "1"}, accept="text/html").status_code == 503


@pytest.mark.usefixtures("many")
def test_one_connection_is_tested_by_its_name() -> None:
    """Its steps alone, under its own name."""
    answer = ask("POST", {"test": "sentinelone", "connection": "console7"})
    body = answer.get_body().decode()
    assert '"part": "SentinelOne console7"' in body
    assert "console8" not in body
    assert "SentinelOneUrl__console7" in body


def test_a_result_that_is_gone_says_so(storage: str) -> None:
    """Another instance, or long ago: the page asks to press the button again."""
    assert "press the button again" in page(result="unknown")
