"""The local workspace keeps what it is sent as Log Analytics would."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.workspace.kql_engine import Rows
from local.workspace.typing_sql import MAX_FIELD_BYTES
from local.workspace.workspace import QueryError, Workspace
from tests.content.golden import NOW
from tools.content import StreamDecl, Table
from tools.project import ROOT

ACTIVITIES = "Custom-SentinelOneActivities"


def table(columns: dict[str, str], declared: dict[str, str], transform: str) -> Table:
    """A table ``T`` that the stream ``Custom-S`` fills."""
    stream = StreamDecl("Custom-S", {"TimeGenerated": "datetime", **declared}, transform)
    return Table(
        name="T",
        description="",
        connector="T",
        rule_setting=None,
        log_type=None,
        columns={"TimeGenerated": "datetime", **columns},
        streams={stream.name: stream},
        optional_columns=(),
    )


def only(rows: Rows) -> Any:
    """The value of a result that has one row and one column."""
    ((value,),) = rows.rows
    return value


@pytest.mark.parametrize(
    ("kind", "sent", "stored"),
    [
        ("string", "text", "text"),
        ("string", "", ""),
        ("string", None, ""),
        ("string", 5, ""),
        ("string", {"a": 1}, ""),
        ("long", 5, 5),
        ("long", -(2**63), -(2**63)),
        ("long", 2**63, None),
        ("long", 5.5, None),
        ("long", "5", None),
        ("int", 2**31, None),
        ("real", 5, 5.0),
        ("real", 1e300, 1e300),
        ("real", "5", None),
        ("boolean", True, True),
        ("boolean", False, False),
        ("boolean", 1, None),
        ("boolean", "true", None),
        ("datetime", "2026-01-20T10:00:00.1234567Z", datetime(2026, 1, 20, 10, 0, 0, 123456, UTC)),
        ("datetime", "2026-01-20T10:00:00+02:00", datetime(2026, 1, 20, 8, tzinfo=UTC)),
        ("datetime", "2026-01-20 10:00:00", datetime(2026, 1, 20, 10, tzinfo=UTC)),
        ("datetime", "yesterday", None),
        ("datetime", 1768903200, None),
        ("dynamic", {"a": [1, "ß", None]}, {"a": [1, "ß", None]}),
        ("dynamic", "text", "text"),
        ("dynamic", 2**63, 2**63),
        ("dynamic", None, None),
    ],
)
def test_a_value_of_another_type_than_declared_is_stored_empty(
    kind: str, sent: object, stored: object
) -> None:
    """A column takes values of its own type; any other becomes null, or an empty string."""
    workspace = Workspace(None, lambda: NOW, [table({"v": kind}, {"v": kind}, "source")])
    workspace.ingest("Custom-S", [{"TimeGenerated": NOW, "v": sent}])
    assert only(workspace.query("T | project v")) == stored


def test_a_field_that_is_absent_is_stored_empty() -> None:
    """Nothing tells an absent field from one that is null."""
    columns = {"s": "string", "n": "long", "d": "dynamic"}
    workspace = Workspace(None, lambda: NOW, [table(columns, columns, "source")])
    workspace.ingest("Custom-S", [{"TimeGenerated": NOW}])
    assert workspace.query("T | project s, n, d").rows == [("", None, None)]


@pytest.mark.parametrize(
    ("sent", "replaced"),
    [
        (NOW - timedelta(days=2), 0),
        (NOW - timedelta(days=2, microseconds=1), 1),
        (NOW + timedelta(days=1), 0),
        (NOW + timedelta(days=1, microseconds=1), 1),
        (None, 1),
        ("not a time", 1),
    ],
)
def test_a_time_that_is_too_far_off_is_replaced(
    workspace: Workspace, sent: object, replaced: int
) -> None:
    """TimeGenerated over two days old, over a day ahead or missing becomes the time received."""
    result = workspace.ingest(ACTIVITIES, [{"TimeGenerated": sent, "id": "1"}])
    assert result.times_replaced == replaced
    assert only(workspace.query("SentinelOne_CL | project TimeGenerated")) == (
        NOW if replaced else sent
    )


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x" * MAX_FIELD_BYTES, MAX_FIELD_BYTES),
        ("x" * (MAX_FIELD_BYTES + 1), MAX_FIELD_BYTES),
        ("é" * MAX_FIELD_BYTES, MAX_FIELD_BYTES // 2),
        ("x" + "é" * MAX_FIELD_BYTES, MAX_FIELD_BYTES // 2),
        ("😀" * MAX_FIELD_BYTES, MAX_FIELD_BYTES // 4),
        ("\x00" + "\u2028" * MAX_FIELD_BYTES, 1 + (MAX_FIELD_BYTES - 1) // 3),
    ],
    ids=["at the limit", "one over", "two bytes", "odd", "four bytes", "three bytes"],
)
def test_fields_are_cut_at_64_kb_between_characters(
    workspace: Workspace, text: str, kept: int
) -> None:
    """What is beyond 64 KB of UTF-8 is cut off and counted, and no character is torn."""
    result = workspace.ingest(ACTIVITIES, [{"TimeGenerated": NOW, "primaryDescription": text}])
    assert result.cells_cut == (1 if kept < len(text) else 0)
    stored = only(workspace.query("SentinelOne_CL | project primaryDescription_s"))
    assert stored == text[:kept]


def test_a_dynamic_value_beyond_64_kb_stays_as_a_text(workspace: Workspace) -> None:
    """A cut object is no object any more, but what is left of it can be read."""
    value = {"a": "x" * MAX_FIELD_BYTES}
    result = workspace.ingest(ACTIVITIES, [{"TimeGenerated": NOW, "AdditionalFields": value}])
    stored = only(workspace.query("SentinelOne_CL | project AdditionalFields"))
    assert result.cells_cut == 1
    assert stored.startswith('{"a":"xxx')
    assert len(stored) == MAX_FIELD_BYTES


def test_what_stream_and_table_do_not_declare_is_dropped_and_counted() -> None:
    """An undeclared field and a column that the table lacks go without an error, each counted."""
    columns, transform = {"kept": "string"}, "source | extend lacking = 1, kept = 'k'"
    workspace = Workspace(None, lambda: NOW, [table(columns, {"kept": "string"}, transform)])
    result = workspace.ingest("Custom-S", [{"undeclared": 1}, {"undeclared": 2, "kept": ""}])
    assert result.columns_dropped == 2
    assert [name for name, _ in workspace.query("T").columns] == ["TimeGenerated", "kept", "Type"]


def test_rows_that_a_transform_filters_out_are_not_stored() -> None:
    """A transform's where decides how many rows there are."""
    filtered = table({"n": "long"}, {"n": "long"}, "source | where n > 1")
    workspace = Workspace(None, lambda: NOW, [filtered])
    assert workspace.ingest("Custom-S", [{"n": n} for n in range(5)]).rows == 3
    assert workspace.ingest("Custom-S", []).rows == 0


def test_a_batch_is_stored_whole_or_not_at_all() -> None:
    """When a transform fails on a batch, nothing of it is in the table, and the next one is."""
    failing = table({"n": "long"}, {"n": "long"}, "source | extend n = n * 1000000")
    workspace = Workspace(None, lambda: NOW, [failing])
    with pytest.raises(Exception, match=r"(?i)overflow|out of range"):
        workspace.ingest("Custom-S", [{"n": 1}, {"n": 2**62}])
    assert workspace.ingest("Custom-S", [{"n": 2}]).rows == 1
    assert only(workspace.query("T | project n")) == 2_000_000


def test_an_unknown_stream_is_known_to_be_unknown(workspace: Workspace) -> None:
    """A caller can ask first, and gets an error if it does not."""
    assert workspace.knows(ACTIVITIES)
    assert not workspace.knows("Custom-Nothing")
    with pytest.raises(KeyError):
        workspace.ingest("Custom-Nothing", [{}])


def test_ingestion_time_is_when_a_row_arrived_whatever_its_own_time() -> None:
    """ingestion_time() tells the workspace's clock at arrival, and no result shows its column."""
    clock = [NOW]
    workspace = Workspace(None, lambda: clock[0])
    workspace.ingest(ACTIVITIES, [{"TimeGenerated": NOW - timedelta(days=1), "id": "early"}])
    clock[0] += timedelta(hours=2)
    workspace.ingest(ACTIVITIES, [{"TimeGenerated": NOW - timedelta(days=1), "id": "late"}])
    found = workspace.query("SentinelOne_CL | where ingestion_time() > ago(1h) | project id_s")
    assert found.rows == [("late",)]
    arrived = workspace.query("SentinelOne_CL | summarize min(ingestion_time())")
    assert only(arrived) == NOW
    assert not [n for n, _ in workspace.query("SentinelOne_CL").columns if "ingestion" in n]


def test_columns_that_differ_by_case_alone_are_kept_apart(workspace: Workspace) -> None:
    """data_username_s and data_userName_s are two columns, in rows, conditions and results."""
    data = {"username": "lower", "userName": "upper"}
    workspace.ingest(ACTIVITIES, [{"TimeGenerated": NOW, "data": data}])
    found = workspace.query(
        "SentinelOne_CL | where data_username_s == 'lower' and ['data_userName_s'] == 'upper'"
        " | project data_userName_s, data_username_s"
    )
    assert found.columns == [("data_userName_s", "string"), ("data_username_s", "string")]
    assert found.rows == [("upper", "lower")]


def test_a_column_without_a_value_is_empty_in_every_stream(workspace: Workspace) -> None:
    """Strings are empty, never null: what one stream does not fill compares as an empty text."""
    workspace.ingest(ACTIVITIES, [{"TimeGenerated": NOW, "id": "1"}])
    workspace.ingest("Custom-SentinelOneGroups", [{"TimeGenerated": NOW, "name": "g"}])
    found = workspace.query("SentinelOne_CL | where name_s == '' | project id_s, rank_d")
    assert found.rows == [("1", None)]
    assert only(workspace.query("SentinelOne_CL | where isnull(totalAgents_d) | count")) == 2


def test_a_file_is_kept_and_gets_columns_that_were_declared_since(tmp_path: Path) -> None:
    """Rows outlive the process that stored them; a column added later is empty in them."""
    file = tmp_path / "workspace.duckdb"
    old = table({"a": "string"}, {"a": "string"}, "source")
    first = Workspace(file, lambda: NOW, [old])
    first.ingest("Custom-S", [{"a": "1"}])
    first.close()
    both = {"a": "string", "b": "string"}
    second = Workspace(file, lambda: NOW, [table(both, both, "source")])
    assert second.query("T | project a, b").rows == [("1", "")]
    second.ingest("Custom-S", [{"a": "2", "b": "x"}])
    assert second.query("T | project a, b").rows == [("1", ""), ("2", "x")]
    second.close()


def test_another_process_can_query_while_one_fills(tmp_path: Path) -> None:
    """A running host does not keep a person's queries out: the file is let go between uses."""
    file = tmp_path / "workspace.duckdb"
    filling = Workspace(file)
    filling.ingest(ACTIVITIES, [{"id": "1"}])
    query = "SentinelOne_CL | project id_s"
    arguments = [
        "-c",
        "from local.commands.query import main; import sys; sys.exit(main(sys.argv[1:]))",
    ]
    done = subprocess.run(
        [sys.executable, *arguments, query, "--json", "--file", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"id_s": "1"' in done.stdout
    assert filling.ingest(ACTIVITIES, [{"id": "2"}]).rows == 1
    filling.close()


def test_threads_share_a_workspace(workspace: Workspace) -> None:
    """Batches and queries from several threads at once neither fail nor lose a row."""

    def fill(number: int) -> None:
        workspace.ingest("Custom-ConnectorHealth", [{"Records": number}] * 10)
        workspace.query("ConnectorHealth_CL | count")

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert only(workspace.query("ConnectorHealth_CL | count")) == 80


def test_thousands_of_records_take_seconds(workspace: Workspace) -> None:
    """Ingestion works by batches, not by rows: 10,000 records are stored in seconds."""
    record = {"TimeGenerated": NOW, "id": "1", "data": {"username": "a", "ruleId": 1}}
    workspace.ingest(ACTIVITIES, [record])
    started = time.process_time()
    assert workspace.ingest(ACTIVITIES, [record] * 10_000).rows == 10_000
    assert time.process_time() - started < 10


def test_a_query_without_a_query_is_an_error(workspace: Workspace) -> None:
    """An empty text, or nothing but a comment, is said to be empty."""
    for text in ("", "  \n", "// nothing"):
        with pytest.raises(QueryError, match="empty"):
            workspace.query(text)


def test_parsers_are_there_again_after_the_file_was_let_go(tmp_path: Path) -> None:
    """The same query on an alias works before and after the file has been closed in between."""
    workspace = Workspace(tmp_path / "workspace.duckdb", lambda: NOW)
    workspace.ingest("Custom-JiraAudit", [{"TimeGenerated": NOW, "summary": "User added to group"}])
    for _ in range(2):
        assert only(workspace.query("JiraAudit | project EventMessage")) == "User added to group"
        workspace.close()
