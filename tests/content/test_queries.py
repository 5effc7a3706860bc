"""Queries on the local workspace: what they may use, and where their errors point."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from local.commands import query, query_text
from local.workspace.kql_engine import Rows
from local.workspace.kql_rewrite import with_existing_columns, with_ingestion_time, with_names
from local.workspace.kql_tokens import place, tokens
from local.workspace.workspace import QueryError, Workspace
from tests.content.golden import NOW, cases, sent

LOGINS = "Custom-OneLogin"


@pytest.fixture(scope="module")
def filled() -> Iterator[Workspace]:
    """A workspace with the golden OneLogin events, Jira records and activities."""
    workspace = Workspace(None, now=lambda: NOW)
    for stream in (LOGINS, "Custom-JiraAudit", "Custom-SentinelOneActivities"):
        workspace.ingest(stream, [sent(stream, case["record"]) for case in cases(stream)])
    yield workspace
    workspace.close()


@pytest.mark.parametrize(
    ("kql", "rows"),
    [
        ("OneLogin_CL | where user_name_s has 'rossi' | count", [(2,)]),
        ("OneLogin_CL | where event_type_id_d in (6, 8) | summarize count()", [(2,)]),
        (
            "OneLogin_CL | where user_name_s in~ ('CARLA ROSSI') | project app_name_s",
            [("Payroll",), ("",)],
        ),
        ("OneLogin_CL | where ipaddr_s has_any ('198.51.100.99', 'x') | count", [(1,)]),
        (
            "let Day = 1d; OneLogin_CL | where TimeGenerated > ago(Day) | summarize dcount(id_d)",
            [(2,)],
        ),
        (
            "let Failed = OneLogin_CL | where event_type_id_d == 6;\n"
            "Failed | join kind=inner (OneLogin_CL | project uuid_g, app_name_s) on uuid_g | count",
            [(1,)],
        ),
        (
            "OneLogin_CL | summarize arg_max(TimeGenerated, user_name_s) by event_type_id_d"
            " | where event_type_id_d == 8 | project user_name_s",
            [("Carla Rossi",)],
        ),
        (
            "OneLogin_CL | where isnotempty(risk_reasons_s) and event_type_id_d == 8"
            " | mv-expand reason = parse_json(risk_reasons_s) | project tostring(reason['title'])",
            [("New device",)],
        ),
        (
            "OneLogin_CL | parse user_attributes_email_s with * '@' domain"
            " | where event_type_id_d == 6 | project domain",
            [("northwind.example",)],
        ),
        ("union isfuzzy=true OneLogin_CL, Absent_CL | where event_type_id_d == 6 | count", [(1,)]),
        (
            "union isfuzzy=true (datatable(a: string)[]), (Absent_CL | project a = b), "
            "(OneLogin_CL | project a = user_name_s | where a == 'Carla Rossi'), (Absent_CL)",
            [("Carla Rossi",), ("Carla Rossi",)],
        ),
        (
            "union OneLogin_CL, Jira_Audit_CL | summarize n = count() by Type | project n",
            [(4,), (3,)],
        ),
        (
            "OneLogin_CL | where event_type_id_d == 6"
            " | extend x = column_ifexists('nothing', 'no'), y = column_ifexists(\"ipaddr_s\", '')"
            " | project x, y",
            [("no", "198.51.100.99")],
        ),
        ("print now(), ago(1h)", [(NOW, NOW - timedelta(hours=1))]),
        ("OneLogin | where EventType == 'USER_FAILED_ONELOGIN_LOGIN' | count", [(1,)]),
        ("OneLogin() | where EventTypeId == 8 | project TargetAppName", [("Payroll",)]),
        ("SentinelOne | where EventType == 'Activities.' and ActivityType == 27 | count", [(1,)]),
        (
            "JiraAudit | mv-expand i = todynamic(AssociatedItems) | project n = tostring(i.name)"
            " | where n == 'ben.okafor'",
            [("ben.okafor",)],
        ),
    ],
)
def test_queries_as_people_write_them(filled: Workspace, kql: str, rows: list[object]) -> None:
    """Operators, functions, lets, joins, unions and aliases give what they give in Azure."""
    assert filled.query(kql).rows == rows


@pytest.mark.parametrize(
    ("kql", "line", "column", "says"),
    [
        ("OneLogin_CL | wher x == 1", 1, 15, "did you mean where?"),
        ("OneLogin_CL\n| where user_nam_s == 'x'", 2, 9, "did you mean user_name_s"),
        ("OneLogin_CL\n| where user_name_s = 'x'", 2, 21, "compare with =="),
        ("OneLogn_CL | take 1", 1, 1, "OneLogin_CL"),
        ("OneLogin | where EventTyp == ''", 1, 18, "did you mean EventType"),
        ("OneLogin_CL | extend x = series_stats(1)", 1, 26, "series_stats()"),
        ("OneLogin_CL | mv-apply x = y on (take 1)", 1, 15, "mv-apply"),
        ("OneLogin_CL | project TimeGenerated\n| where ingestion_time() > ago(1d)", 2, 9, "before"),
        ("OneLogin_CL | extend a = (1 + ", 1, 31, ""),
        ("// why\n\nOneLogin_CL // here\n| extend b = nothere", 4, 14, "nothere"),
    ],
)
def test_an_error_points_into_the_query(
    filled: Workspace, kql: str, line: int, column: int, says: str
) -> None:
    """An error says what is wrong in the query's own words, and at which line and column."""
    with pytest.raises(QueryError) as raised:
        filled.query(kql)
    assert says in raised.value.message
    assert (raised.value.line, raised.value.column) == (line, column)
    assert "SQL" not in raised.value.message


def test_the_caret_stands_under_the_place() -> None:
    """The query's line is shown, with the caret under it, also behind a tab."""
    shown = QueryError("wrong", 2, 3).pointing("T\n\t| x").split("\n")
    assert shown == ["line 2, column 3: wrong", "  \t| x", "  \t ^"]


def test_rewriting_keeps_every_place() -> None:
    """What the engine lacks is written in other words of the same length, lines included."""
    kql = (
        "T | where ingestion_time() > ago(1h) // ingestion_time()\n"
        "| extend a = column_ifexists('A',\n '') , b = column_ifexists('b', strcat('x', ')'))\n"
        "| where c == 'ingestion_time()' and twin == 1 and d.twin == 2"
    )
    text = with_names(with_ingestion_time(kql), {"twin": "twi2"})
    text = with_existing_columns(text, lambda _: ["A"], {})
    assert len(text) == len(kql)
    assert [place(text, at) for at in (0, 60, 140)] == [place(kql, at) for at in (0, 60, 140)]
    words = [token.text for token in tokens(text)]
    assert "__ingestion_time" in words
    assert words.count("'ingestion_time()'") == 1
    assert words.count("column_ifexists") == 0
    assert words[words.index("a") :][:3] == ["a", "=", "A"]
    assert words[words.index("b") :][:3] == ["b", "=", "strcat"]
    assert words.count("twi2") == 1
    assert words.count("twin") == 1


def test_columns_are_looked_for_where_a_function_is_called() -> None:
    """column_ifexists() knows what lets, parentheses and earlier operators leave of the columns.

    A let that the pipeline does not use is not asked about.
    """
    asked: list[str] = []

    def columns_of(kql: str) -> list[str]:
        asked.append(" ".join(kql.split()))
        return []

    with_existing_columns(
        "let A = T | where x | extend a = tostring(column_ifexists('p', ''));\n"
        "union A, (U | project y | extend b = column_ifexists('q', ''))\n"
        "| extend c = column_ifexists('r', '')",
        columns_of,
        {},
    )
    assert asked[0] == "T | where x"
    assert asked[1] == "U | project y"
    assert asked[2].endswith("union A, (U | project y | extend b = '' )")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A workspace's file with one OneLogin event in it."""
    path = tmp_path / "workspace.duckdb"
    workspace = Workspace(path, now=lambda: NOW)
    workspace.ingest(LOGINS, [sent(LOGINS, cases(LOGINS)[0]["record"])])
    workspace.close()
    return path


def test_the_command_prints_a_table(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Columns stand under their names, numbers to the right, with a count below."""
    kql = "OneLogin_CL | project user_name_s, event_type_id_d, risk = parse_json(risk_reasons_s)"
    assert query.main([kql, "--file", str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "user_name_s  event_type_id_d  risk",
        "───────────  ───────────────  ────────────────────────",
        'Carla Rossi                8  [{"title":"New device"}]',
        "1 row",
    ]


def test_the_command_leaves_out_columns_that_are_empty_throughout(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wide table shows the columns that have something in them, and says how many it left out."""
    assert query.main(["OneLogin_CL", "--file", str(file)]) == 0
    out = capsys.readouterr().out
    assert "otp_device_name_s" not in out
    assert "empty columns" in out


def test_the_command_prints_json_for_programs(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json the result is an array of objects, dynamic values as they are."""
    kql = (
        "OneLogin_CL | project TimeGenerated, r = parse_json(risk_reasons_s), app_id_d, took = 90s"
    )
    assert query.main([kql, "--json", "--file", str(file)]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "TimeGenerated": "2026-01-20T08:13:06.000000Z",
            "r": [{"title": "New device"}],
            "app_id_d": 640211.0,
            "took": 90.0,
        }
    ]


def test_the_command_points_at_an_error(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong query ends with status 1, its line and a caret on standard error."""
    assert query.main(["OneLogin_CL | wher 1", "--file", str(file)]) == 1
    assert capsys.readouterr().err.splitlines()[1:] == [
        "  OneLogin_CL | wher 1",
        "                ^",
    ]


def test_the_command_says_where_there_is_no_workspace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first demo there is nothing to ask, and the message says how to get it."""
    assert query.main(["T", "--file", str(tmp_path / "none.duckdb")]) == 1
    assert "tools demo" in capsys.readouterr().err


def test_cells_cannot_break_the_table() -> None:
    """Line breaks and control characters in a value do not reach the terminal."""
    shown = query_text.as_table(Rows([("a", "string")], [("x\ny\x1b[31mz" + "w" * 200,)]))
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 4
    assert len(shown.splitlines()[2]) <= 80
