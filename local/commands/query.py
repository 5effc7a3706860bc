"""`python -m tools query "<kql>"`: a query on the local workspace, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from local.workspace.kql_engine import Rows
from local.workspace.kql_errors import QueryError
from local.workspace.workspace import Workspace, WorkspaceBusyError
from shared.records.timestamps import isoformat
from tools.content import ROOT

WORKSPACE = ROOT / ".local" / "workspace.duckdb"
EXAMPLE = "ConnectorHealth_CL | summarize Records = sum(Records) by Stream"
_WIDEST_CELL = 80
_FEW_COLUMNS = 20
_NUMBERS = ("int", "long", "real", "decimal", "timespan")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the result; 1 where the query or the workspace is at fault, else 0."""
    parser = argparse.ArgumentParser(
        prog="query",
        description="Run KQL on the local workspace; parsers are there by their alias.",
        epilog=f"Example: {EXAMPLE}",
    )
    parser.add_argument("kql", help="the query; - reads it from standard input")
    parser.add_argument("--json", action="store_true", help="an array of objects, for programs")
    parser.add_argument("--file", type=Path, default=WORKSPACE, help="another workspace's file")
    arguments = parser.parse_args(argv)
    kql = sys.stdin.read() if arguments.kql == "-" else arguments.kql
    if not kql.strip():  # `make query` without Q
        parser.error(f"name a query: make query Q='{EXAMPLE}'")
    if not arguments.file.is_file():
        print(
            f"There is no workspace at {arguments.file} yet: `make demo` fills one.",
            file=sys.stderr,
        )
        return 1
    workspace = Workspace(arguments.file)
    try:
        rows = workspace.query(kql)
    except QueryError as error:
        print(error.pointing(kql), file=sys.stderr)
        return 1
    except WorkspaceBusyError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        workspace.close()
    print(as_json(rows) if arguments.json else as_table(rows))
    return 0


def as_json(rows: Rows) -> str:
    """An array of objects; times as ISO-8601 in UTC, time spans in seconds."""
    return json.dumps(rows.dicts(), ensure_ascii=False, indent=1, default=_plain)


def as_table(rows: Rows) -> str:
    """Aligned columns under their names, numbers to the right; the number of rows below.

    A table with many columns leaves out those that are empty in every row.
    """
    cells = [[_cell(value) for value in row] for row in rows.rows]
    shown = [
        index
        for index in range(len(rows.columns))
        if len(rows.columns) <= _FEW_COLUMNS or any(row[index] for row in cells)
    ]
    names = [rows.columns[index][0] for index in shown]
    right = [rows.columns[index][1] in _NUMBERS for index in shown]
    cells = [[row[index] for index in shown] for row in cells]
    widths = [
        max([len(name), *(len(row[index]) for row in cells)]) for index, name in enumerate(names)
    ]
    lines = [names, ["─" * width for width in widths], *cells]
    count = "1 row" if len(cells) == 1 else f"{len(cells)} rows"
    if left_out := len(rows.columns) - len(shown):
        count += f"; {left_out} empty columns are not shown"
    return "\n".join([*(_aligned(line, widths, right) for line in lines), count])


def _aligned(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _cell(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        text = str(int(value))
    elif isinstance(value, datetime):
        text = isoformat(value)
    elif isinstance(value, dict | list):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    else:
        text = "" if value is None else str(value)
    # A control character would break the table's lines, or move the terminal's cursor.
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= _WIDEST_CELL else text[: _WIDEST_CELL - 1] + "…"


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return isoformat(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)
