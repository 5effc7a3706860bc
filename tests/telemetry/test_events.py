"""The log: stable names, stable dimensions, one line a run, and documentation that agrees."""

from __future__ import annotations

import json
import logging
import re

import pytest

from local.vendors.onelogin_records import onelogin_event
from shared.records.timestamps import utc_now
from shared.telemetry.events import EVENTS, emit
from tests.app import App
from tools.kql_check import Query, analyse
from tools.project import ROOT

LOGS = ROOT / "docs" / "logs.md"
LEVELS = {logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error"}


def documented() -> dict[str, tuple[str, str]]:
    """Each event of the table in docs/logs.md: its level and its dimensions, as they stand."""
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| [^|]+ \| ([^|]+) \|$", LOGS.read_text(), re.MULTILINE
    )
    return {name: (level, dimensions) for name, level, dimensions in rows}


def test_the_documented_events_are_those_of_the_code() -> None:
    """docs/logs.md names every event, its level and its dimensions, and no other."""
    expected = {
        name: (LEVELS[event.level], ", ".join(f"`{d}`" for d in event.dimensions))
        for name, event in EVENTS.items()
    }
    assert documented() == expected


def test_every_event_is_said_somewhere() -> None:
    """No event is documented that no code emits."""
    code = "\n".join(path.read_text() for path in (ROOT / "shared").rglob("*.py"))
    for name in EVENTS:
        assert re.search(
            rf"(emit\(\s*logger,\s*|_emit_error\(){re.escape(json.dumps(name))}", code
        ), name


def test_documented_queries_read_known_names() -> None:
    """Every d.Name in a query of docs/logs.md or docs/operate.md is a dimension of its event."""
    dimensions = {name for event in EVENTS.values() for name in event.dimensions}
    for page in (LOGS, ROOT / "docs" / "operate.md"):
        text = page.read_text()
        assert set(re.findall(r"\bd\.(\w+)", text)) <= dimensions
        assert set(re.findall(r'Event == "(\w+)"', text)) <= EVENTS.keys()


def test_a_run_is_one_line(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """A stream's run says one line at info, whatever the number of its records."""
    caplog.set_level(logging.INFO)
    app.fill(300)
    runs = app.poll_sentinelone()
    lines = [r.message for r in caplog.records if r.name.startswith("connectors")]
    assert sorted({line.partition(" ")[0] for line in lines}) == ["stream_run"]
    assert len(lines) == len(runs)


def test_a_line_is_its_name_and_json(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """The text after the name parses as JSON with the event's dimensions; the level is its own."""
    caplog.set_level(logging.INFO)
    app.post_events([onelogin_event(1, utc_now())], token="an old one")
    told = [r for r in caplog.records if r.message.startswith("webhook_refused")]
    (record,) = told
    assert record.levelno == EVENTS["webhook_refused"].level
    value = json.loads(record.message.partition(" ")[2])
    assert tuple(value) == EVENTS["webhook_refused"].dimensions
    assert value["HttpStatus"] == 401


def test_an_event_has_all_of_its_dimensions() -> None:
    """A line with a dimension too few or too many is a mistake of the code, found at once."""
    with pytest.raises(ValueError, match="Connector"):
        emit(logging.getLogger("connectors"), "connector_off", Stream="x")


def test_documented_queries_are_kql() -> None:
    """Microsoft's own parser finds nothing wrong with any query in docs/logs.md."""
    tables = {
        "AppTraces": {"TimeGenerated": "datetime", "Message": "string"},
        "AppRequests": {"TimeGenerated": "datetime", "Success": "bool", "Name": "string"},
    }
    beginning, *blocks = re.findall(r"```kusto\n(.+?)```", LOGS.read_text(), re.DOTALL)
    queries = [Query(block, beginning + block, tables=tables) for block in blocks]
    assert len(queries) >= 8
    assert [error for analysis in analyse(queries) for error in analysis.errors] == []
