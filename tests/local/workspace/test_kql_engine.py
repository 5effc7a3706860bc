"""KQL on the local workspace: what it adds to the engine, and errors that point into the query."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from local.workspace.kql_errors import MISSING, QueryError
from local.workspace.kql_support import described, operators_here
from local.workspace.workspace import Workspace
from tools.project import ROOT

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    """Eight events, an hour apart, of three types."""
    made = Workspace(None, now=lambda: NOW)
    made.ingest(
        "Custom-OneLogin",
        [
            {
                "uuid": f"e-{n}",
                "event_type_id": 5 + n % 3,
                "user_name": f"user=u{n} tries={n}",
                "TimeGenerated": f"2026-03-01T0{n}:30:00Z",
            }
            for n in range(8)
        ],
    )
    yield made
    made.close()


def ask(workspace: Workspace, kql: str) -> list[tuple[Any, ...]]:
    """The rows of a query on the events."""
    return workspace.query(f"OneLogin_CL | order by uuid_g asc | {kql}").rows


def refusal(workspace: Workspace, kql: str) -> QueryError:
    """The error of a query."""
    with pytest.raises(QueryError) as caught:
        workspace.query(kql)
    return caught.value


def test_lists_and_sets_have_at_most_the_number_asked_for(workspace: Workspace) -> None:
    """make_list(v, n) and make_set(v, n), with a name and without one."""
    found = workspace.query(
        "OneLogin_CL | summarize make_list(uuid_g, 2), S = make_set(event_type_id_d, 2), "
        "All = make_list(uuid_g)"
    )
    assert [name for name, _ in found.columns] == ["list_uuid_g", "S", "All"]
    assert [len(value) for value in found.rows[0]] == [2, 2, 8]


def test_percentiles_are_columns(workspace: Workspace) -> None:
    """By the names that Azure gives them, or by those of the query."""
    found = workspace.query("OneLogin_CL | summarize percentiles(event_type_id_d, 1, 99)")
    assert found.dicts() == [
        {"percentile_event_type_id_d_1": 5.0, "percentile_event_type_id_d_99": 7.0}
    ]
    named = workspace.query(
        "OneLogin_CL | summarize (Low, High) = percentiles(event_type_id_d, 1, 99), count()"
    )
    assert named.dicts() == [{"Low": 5.0, "High": 7.0, "count_": 8}]


def test_rows_see_their_neighbours(workspace: Workspace) -> None:
    """prev, next, row_number and row_cumsum go by the order of the rows before."""
    rows = ask(
        workspace,
        "extend P = prev(uuid_g), N = next(uuid_g, 2, 'none'), R = row_number(), "
        "C = row_cumsum(event_type_id_d) | project uuid_g, P, N, R, C | take 2",
    )
    assert rows == [("e-0", "", "e-2", 1, 5.0), ("e-1", "e-0", "e-3", 2, 11.0)]
    assert ask(workspace, "where prev(event_type_id_d) == 7 | project uuid_g") == [
        ("e-3",),
        ("e-6",),
    ]
    assert ask(workspace, "serialize | count") == [(8,)]
    found = workspace.query("OneLogin_CL | extend N = row_number() | take 1")
    assert not [name for name, _ in found.columns if name.startswith("__")]


def test_a_series_has_a_value_a_step(workspace: Workspace) -> None:
    """Steps without rows have the default; each group is a row; the axis is an array too."""
    found = workspace.query(
        "OneLogin_CL | make-series N = count() default = 0, S = sum(event_type_id_d) on "
        "TimeGenerated from datetime(2026-03-01) to datetime(2026-03-01 12:00) step 3h"
    )
    assert [name for name, _ in found.columns] == ["N", "S", "TimeGenerated"]
    counts, sums, times = found.rows[0]
    assert (counts, sums) == ([3, 3, 2, 0], [18, 18, 11, 0])
    assert [text[11:16] for text in times] == ["00:00", "03:00", "06:00", "09:00"]
    grouped = ask(workspace, "make-series count() on TimeGenerated step 4h by event_type_id_d")
    assert [row[:2] for row in grouped] == [(5, [2, 1]), (6, [1, 2]), (7, [1, 1])]
    assert ask(
        workspace,
        "make-series N=count() on TimeGenerated step 4h | mv-expand N to typeof(long) "
        "| summarize sum(N)",
    ) == [(8,)]


def test_samples_have_the_number_asked_for(workspace: Workspace) -> None:
    """Rows, or distinct values of a column."""
    assert len(ask(workspace, "sample 3")) == 3
    assert len(ask(workspace, "sample-distinct 2 of event_type_id_d")) == 2


@pytest.mark.parametrize(
    ("kql", "count"),
    [
        ("search 'e-1'", 1),
        ("search in (OneLogin_CL) 'e-1' or 'e-2'", 2),
        ("search in (Jira_Audit_CL) 'e-1'", 0),
        ("OneLogin_CL | search 'U1'", 1),
        ("OneLogin_CL | search kind=case_sensitive 'U1'", 0),
        ("OneLogin_CL | search uuid_g:'e-1' or event_type_id_d == 7", 3),
        ("OneLogin_CL | search 'us*' and not('u3')", 7),
        ("OneLogin_CL | search 'user=*tries=2'", 1),
        ("OneLogin_CL | search *", 8),
        ("union (OneLogin_CL | search 'e-1'), (OneLogin_CL | sample 2)", 3),
        ("let found = OneLogin_CL | search 'e-1'; found | join (found) on uuid_g", 1),
    ],
)
def test_search_looks_in_every_column(workspace: Workspace, kql: str, count: int) -> None:
    """Terms, columns, wildcards and predicates; every table where none is named."""
    assert len(workspace.query(kql).rows) == count


def test_search_says_which_table_a_row_is_of(workspace: Workspace) -> None:
    """$table is the first column."""
    found = workspace.query("search 'e-1'")
    assert found.columns[0] == ("$table", "string")
    assert found.rows[0][0] == "OneLogin_CL"


@pytest.mark.parametrize(
    ("kql", "column", "words"),
    [
        ("OneLogin_CL | project UUID_G", 23, "uuid_g"),
        ("onelogin_cl | take 1", 1, "OneLogin_CL"),
        ("onelogin | take 1", 1, "OneLogin"),
        ("OneLogin_CL | where Tolower(uuid_g) == 'a'", 21, "tolower"),
        ("OneLogin_CL | Where true", 15, "where"),
        ("let Start = ago(1h); OneLogin_CL | where TimeGenerated > start", 58, "Start"),
    ],
)
def test_names_are_case_sensitive(workspace: Workspace, kql: str, column: int, words: str) -> None:
    """As in Azure; the error names the right one."""
    error = refusal(workspace, kql)
    assert (error.line, error.column) == (1, column)
    assert f"did you mean {words}?" in str(error)


@pytest.mark.parametrize(
    "kql",
    [
        "OneLogin_CL | extend UUID = uuid_g, Kind = 'x' | project UUID, Kind",
        "OneLogin_CL | parse user_name_s with 'user=' Kind ' tries=' Tries:long | project Kind",
        "let f = (UUID_G: string) { strcat(UUID_G, 'x') }; OneLogin_CL | extend y = f(uuid_g)",
        "OneLogin_CL | summarize (A, B) = arg_max(TimeGenerated, uuid_g) by TYPE = Type",
        "datatable(UUID_G: string) ['a'] | project UUID_G",
        "OneLogin | where ActorUserName =~ 'x' | take 1",
        "OneLogin() | join kind=inner (OneLogin_CL) on $left.UUID == $right.uuid_g | count",
    ],
)
def test_a_name_that_the_query_gives_is_known(workspace: Workspace, kql: str) -> None:
    """Whatever its case is."""
    assert workspace.query(kql).columns


@pytest.mark.parametrize(
    ("kql", "place", "words"),
    [
        ("OneLogin_CL\n| take 5\n| where uuid_g > 5", (3, 3), "cannot compare string with long"),
        ("OneLogin_CL\n| where uuid_g matches regex '('", (2, 3), "regular expression"),
        ("OneLogin_CL | summarize sum(uuid_g)", (1, 15), "string"),
        ("OneLogin_CL | where TimeGenerated > 'abc'", (1, 15), "datetime("),
        ("OneLogin_CL | where nothing == 1", (1, 21), "no column nothing"),
        ("OneLogin_CL\n| sample 3\n| where nothing == 1", (3, 9), "no column nothing"),
        ("OneLogin_CL\n| make-series count() on TimeGenerated", (2, 3), "make-series is"),
        ("OneLogin_CL | search 'a' | where uuid_g ==", (1, 43), "ends too early"),
    ],
)
def test_an_error_points_to_its_place(
    workspace: Workspace, kql: str, place: tuple[int, int], words: str
) -> None:
    """Faults of the database too, which knows the SQL alone."""
    error = refusal(workspace, kql)
    assert (error.line, error.column) == place, str(error)
    assert words in str(error)


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_operator_is_named(workspace: Workspace, name: str) -> None:
    """By its name in KQL, at its place."""
    after = {
        "as": "T", "consume": "", "evaluate": "bag_unpack(x)", "externaldata": "(a: string) ['x']",
        "facet": "by Type", "find": "where uuid_g == 'a'", "fork": "(count) (take 1)",
        "invoke": "f()", "mv-apply": "x on (take 1)", "parse-kv": "uuid_g as (a: string)",
        "partition": "by Type (take 1)", "project-reorder": "uuid_g", "reduce": "by uuid_g",
        "scan": "with (step s: true;)", "top-hitters": "2 of uuid_g",
        "top-nested": "2 of uuid_g by count()",
    }[name]  # fmt: skip
    source = name in ("externaldata", "find")
    error = refusal(workspace, f"{'' if source else 'OneLogin_CL | '}{name} {after}")
    assert f"cannot run {name};" in str(error)
    assert error.column == (1 if source else 15)


def test_the_help_lists_what_works_and_what_does_not() -> None:
    """Every operator stands in one of both lists."""
    text = described()
    assert not set(operators_here()) & set(MISSING)
    for name in (*operators_here(), *MISSING, "percentiles", "prev", "make_list"):
        assert name in text.split()


def test_the_page_names_every_missing_operator() -> None:
    """docs/local.md and the engine agree."""
    page = (ROOT / "docs" / "local.md").read_text(encoding="utf-8")
    listed = page.partition("only Log Analytics runs:")[2].partition(". `python")[0]
    assert listed.replace("`", "").replace(",", "").split() == MISSING


def test_nothing_of_a_query_stays(workspace: Workspace) -> None:
    """The tables in between are gone, also after an error."""
    refusal(workspace, "OneLogin_CL | sample 2 | where nothing == 1")
    ask(workspace, "sample 2")
    with workspace._file.connection() as connection:
        left = connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE temporary"
        ).fetchall()
    assert not [name for (name,) in left if name.startswith("__s")]
    assert json.dumps(workspace._engine.sources).count("__s") == 0
