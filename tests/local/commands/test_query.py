"""`query` on a person's terminal: tables, rows upright, charts, errors and a closed pipe."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local.commands.query import main
from local.commands.query_chart import chart, rendered
from local.commands.query_text import as_table
from local.workspace.kql_engine import Rows
from local.workspace.workspace import Workspace
from tools.project import ROOT

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENTS = [
    {"uuid": f"e-{n}", "event_type_id": 5 + n % 2, "TimeGenerated": f"2026-03-01T0{n}:30:00Z"}
    for n in range(8)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workspace of eight events."""
    made = tmp_path_factory.mktemp("local")
    workspace = Workspace(made / "workspace.duckdb", now=lambda: NOW)
    workspace.ingest("Custom-OneLogin", EVENTS)
    workspace.close()
    return made


@pytest.fixture
def workspace(folder: Path) -> Iterator[Workspace]:
    """The folder's workspace."""
    made = Workspace(folder / "workspace.duckdb", now=lambda: NOW)
    yield made
    made.close()


def drawn(workspace: Workspace, kql: str) -> str:
    """The chart of a query."""
    drawing = rendered(kql)
    assert drawing is not None
    made = chart(workspace.query(kql), drawing, 80)
    assert made is not None
    return made


def test_bars_are_drawn_with_their_numbers(workspace: Workspace) -> None:
    """Each row is a bar, the first one on top, as long as its number."""
    text = drawn(
        workspace,
        "OneLogin_CL | summarize N = count() by T = iff(uuid_g < 'e-6', 'many', 'few') "
        "| order by N | render barchart with (title='Which')",
    )
    lines = text.splitlines()
    assert "Which" in lines[0]
    many, few = (next(line for line in lines if name in line) for name in ("many 6", "few 2"))
    assert lines.index(many) < lines.index(few)
    assert many.count("█") > 2 * few.count("█") > 0
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    "kql",
    [
        "OneLogin_CL | summarize count() by bin(TimeGenerated, 1h), tostring(event_type_id_d) "
        "| render timechart",
        "OneLogin_CL | make-series count() on TimeGenerated step 1h by tostring(event_type_id_d) "
        "| render timechart",
    ],
)
def test_a_time_chart_has_its_times_and_series(workspace: Workspace, kql: str) -> None:
    """Of rows a step, and of arrays."""
    text = drawn(workspace, kql)
    assert "00:00" in text
    assert "07:00" in text
    assert text.splitlines()[-1] in ("• 5.0   x 6.0", "• 6.0   x 5.0")
    assert text.count("•") > 1


def test_without_numbers_there_is_no_chart(workspace: Workspace) -> None:
    """Then the table is shown; `render table` is one anyway."""
    for kind in ("barchart", "timechart", "table"):
        kql = f"OneLogin_CL | project uuid_g | render {kind}"
        drawing = rendered(kql)
        assert drawing is not None
        assert chart(workspace.query(kql), drawing, 80) is None
    assert rendered("OneLogin_CL | count") is None


def test_rows_wider_than_the_terminal_turn_upright() -> None:
    """A line a value, without the empty ones."""
    rows = Rows([("A", "string"), ("Empty", "string"), ("B", "long")], [("x" * 70, "", 7)])
    assert as_table(rows, 40).splitlines()[1:] == [f"A      {'x' * 70}", "B      7", "1 row"]
    assert "Empty" in as_table(rows, 100).splitlines()[0]


def test_a_wrong_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the file that was looked for and what to do."""
    assert main(["print 1", "--folder", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert str(tmp_path / "workspace.duckdb") in error
    assert "--folder" in error or "demo" in error


def test_the_help_lists_operators(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that work, and those that do not."""
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "make-series" in text
    assert "only Log Analytics runs:\n  as consume" in text


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_closed_pipe_is_no_error(folder: Path) -> None:
    """As of `query … | head -1`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tools", "query", "range x from 1 to 50000 step 1",
         "--folder", str(folder)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=30) == 0
    process.stderr.close()
