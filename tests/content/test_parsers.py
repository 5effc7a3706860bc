"""The parsers' rows: right for each kind of event, and there whatever columns are not."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from local.workspace.workspace import Workspace
from shared.records.timestamps import parse_time
from tests.content.golden import NOW, STREAMS, cases, sent
from tests.content.parsed import ALIASES, CODELESS, KINDS, golden, open_workspace, output, store
from tools.content import load_parsers, load_tables
from tools.kql_check import Analysis

# When it happened, as each kind of SentinelOne event says it itself.
EVENT_TIMES = {
    "Alerts": "alertInfo.createdAt",
    "UnifiedAlerts": "detectedAt",
    "Threats": "threatInfo.createdAt",
    "Activities": "createdAt",
    "DeviceControl": "eventTime",
    "Agents": "createdAt",
    "Groups": "createdAt",
    "Applications": "installedAt",
    "Policies": "createdAt",
    "Sites": "createdAt",
}
PARSED = {"SentinelOne_CL", "OneLogin_CL", "Jira_Audit_CL"}
SENTINELONE = [stream for stream, table in STREAMS.items() if table == "SentinelOne_CL"]


@pytest.fixture(scope="module")
def filled() -> Iterator[Workspace]:
    """A workspace with the first golden record of each stream."""
    workspace = Workspace(None, now=lambda: NOW)
    for stream in STREAMS:
        workspace.ingest(stream, [sent(stream, cases(stream)[0]["record"])])
    yield workspace
    workspace.close()


def test_each_sentinelone_event_has_its_type_and_its_own_time(filled: Workspace) -> None:
    """EventType names the stream, and EventCreationTime is the time that the event itself tells."""
    times = {}
    for stream in SENTINELONE:
        kind = stream.removeprefix("Custom-SentinelOne")
        record = cases(stream)[0]["record"]
        for name in EVENT_TIMES[kind].split("."):
            record = record[name]
        times[f"{kind}."] = parse_time(record)
    found = filled.query("SentinelOne | project EventType, EventCreationTime")
    assert dict(found.rows) == times


def test_sentinelone_names_are_the_columns_own(filled: Workspace) -> None:
    """A login has who and where under the names of the alias, a threat what and how bad."""
    login = filled.query(
        "SentinelOne | where EventType == 'Activities.' | project SrcUserName, DataRole,"
        " ActivityType, DataFields.ipAddress, EventVendor"
    )
    assert login.rows == [("Amira Haddad", "Admin", 27.0, "198.51.100.7", "SentinelOne")]
    threat = filled.query(
        "SentinelOne | where EventType == 'Threats.'"
        " | project ThreatInfoThreatName, ThreatInfoMitigationStatus, ThreatInfoStoryline"
    )
    assert threat.rows == [("invoice.exe", "not_mitigated", "4C1E9F6A2B3D4E5F")]


def test_onelogin_event_types_have_names(workspace: Workspace) -> None:
    """A known number has OneLogin's name, an unknown one can be told apart, none stays empty.

    And looking the name up neither drops an event nor doubles one.
    """
    names: dict[object, str] = {
        1: "APP_ADDED_TO_ROLE",
        "3": "USER_ASSUMED_USER",
        24: "USER_REMOVED_OTP_DEVICE",
        72: "PRIVILEGE_GRANTED_TO_USER",
        9059: "ROLE_LIST_ADMINISTRATORS_FAILED",
        123456: "EVENT_TYPE_123456",
        None: "",
    }
    events = [{"event_type_id": kind, "user_name": name} for kind, name in names.items()]
    workspace.ingest("Custom-OneLogin", events)
    found = workspace.query("OneLogin | project EventType, UserName").rows
    assert sorted(found) == sorted((name, name) for name in names.values())


def test_onelogin_times_are_times(filled: Workspace) -> None:
    """EventTime is OneLogin's text as a time, so that it can be compared with one."""
    found = filled.query("OneLogin | project EventTime, EventStartTime, UserName, TargetAppName")
    text = "2026-01-20 08:13:06 UTC"
    assert found.rows == [(parse_time(text), text, "Carla Rossi", "Payroll")]


def test_jira_lists_can_be_taken_apart(filled: Workspace) -> None:
    """ChangedValues and AssociatedItems are JSON, as texts that todynamic() reaches into."""
    found = filled.query(
        "JiraAudit | project EventCategoryType, todynamic(ChangedValues)[0].changedTo,"
        " todynamic(AssociatedItems)[0].typeName, ObjectItemName"
    )
    assert found.rows == [("group management", "ben.okafor", "USER", "site-admins")]


@pytest.fixture(scope="module", params=["ours", "classic"])
def golden_workspace(request: pytest.FixtureRequest) -> Iterator[tuple[str, Workspace]]:
    """A workspace with all golden rows of ours and of the codeless connectors, or classic ones."""
    workspace = open_workspace(request.param)
    for alias in ALIASES:
        store(workspace, _of_workspace(request.param, alias))
    yield request.param, workspace
    workspace.close()


def _of_workspace(name: str, alias: str) -> list[dict[str, Any]]:
    return [row for row in golden(alias) if (row["kind"] == "classic") == (name == "classic")]


@pytest.mark.parametrize("alias", ALIASES)
def test_rows_of_every_kind_become_the_outputs_that_were_reviewed(
    golden_workspace: tuple[str, Workspace], alias: str
) -> None:
    """Read together, rows of ours, classic and codeless tables appear once, as reviewed."""
    name, workspace = golden_workspace
    left = output(workspace, alias)
    for row in _of_workspace(name, alias):
        assert row["output"] in left, row["what"]
        left.remove(row["output"])
    assert left == []


@pytest.mark.parametrize("alias", ALIASES)
def test_golden_rows_cover_each_kind_and_table(alias: str) -> None:
    """There are golden rows of all three kinds, and of each table that the parser reads."""
    parser = next(parser for parser in load_parsers() if parser.alias == alias)
    read = {name for name in CODELESS if re.search(rf"\({name}\b", parser.body)}
    rows = golden(alias)
    assert {row["kind"] for row in rows} == set(KINDS)
    tables = {row["table"] for row in rows if row["kind"] == "codeless"}
    tables |= {further["table"] for row in rows for further in row.get("further", [])}
    assert read == tables


def test_every_codeless_table_is_read_by_a_parser() -> None:
    """No table that a person may come from is forgotten."""
    bodies = " ".join(parser.body for parser in load_parsers())
    assert not [name for name in CODELESS if f"({name}" not in bodies]


@pytest.fixture(scope="module")
def bare() -> Iterator[Workspace]:
    """A workspace whose tables have TimeGenerated alone, with a row in each."""
    read = [table for table in load_tables() if table.name in PARSED]
    tables = [
        dataclasses.replace(
            table,
            columns={"TimeGenerated": "datetime"},
            streams={
                name: dataclasses.replace(stream, transform="source | project TimeGenerated")
                for name, stream in table.streams.items()
            },
        )
        for table in read
    ]
    workspace = Workspace(None, now=lambda: NOW, tables=tables)
    for table in tables:
        workspace.ingest(next(iter(table.streams)), [{"TimeGenerated": NOW}])
    yield workspace
    workspace.close()


@pytest.mark.parametrize("alias", [parser.alias for parser in load_parsers()])
def test_parsers_run_on_tables_with_hardly_a_column(
    bare: Workspace, analyses: Mapping[str, Analysis], alias: str
) -> None:
    """With TimeGenerated alone a parser gives its row, all columns, none of another type."""
    found = bare.query(alias)
    columns = {name: "boolean" if kind == "bool" else kind for name, kind in found.columns}
    assert columns == analyses[f"alias {alias}"].columns
    assert [row["TimeGenerated"] for row in found.dicts()] == [NOW]


def test_parsers_run_where_only_one_table_exists() -> None:
    """In a workspace with one table its parser works, and the others give no rows and no error."""
    tables = [table for table in load_tables() if table.name == "Jira_Audit_CL"]
    workspace = Workspace(None, now=lambda: NOW, tables=tables)
    workspace.ingest("Custom-JiraAudit", [{"TimeGenerated": NOW, "id": 1}])
    counts = {
        parser.alias: workspace.query(f"{parser.alias} | count").rows[0][0]
        for parser in load_parsers()
    }
    workspace.close()
    assert counts == {"SentinelOne": 0, "OneLogin": 0, "JiraAudit": 1}
