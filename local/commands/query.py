"""`python -m tools query "<kql>"`: a query on the local workspace: table, chart or JSON."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from local.commands.query_chart import chart, rendered
from local.commands.query_text import as_json, as_table
from local.workspace.kql_errors import QueryError
from local.workspace.kql_support import described
from local.workspace.workspace import Workspace, WorkspaceBusyError
from tools.project import ROOT

WORKSPACE = ROOT / ".local" / "workspace.duckdb"
EXAMPLE = "ConnectorHealth_CL | summarize Records = sum(Records) by Stream"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the result; 1 where the query or the workspace is at fault, else 0."""
    parser = argparse.ArgumentParser(
        prog="python3 -m tools query",
        description="Run KQL on the local workspace; parsers are there by their alias.",
        epilog=f"Example: {EXAMPLE}\n\n{described()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kql", help="the query; - reads it from standard input")
    parser.add_argument("--json", action="store_true", help="an array of objects, for programs")
    parser.add_argument("--table", action="store_true", help="no chart, and no rows upright")
    parser.add_argument(
        "--folder", type=Path, default=WORKSPACE.parent, help="of a demo or start with --folder"
    )
    parser.add_argument("--file", type=Path, help="another workspace's file")
    arguments = parser.parse_args(argv)
    kql = sys.stdin.read() if arguments.kql == "-" else arguments.kql
    if not kql.strip():  # `make query` without Q
        parser.exit(2, f"Name a query: make query Q='{EXAMPLE}'\n")
    file = arguments.file or arguments.folder / WORKSPACE.name
    if not file.is_file():
        print(_no_workspace(file), file=sys.stderr)
        return 1
    workspace = Workspace(file)
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
    if arguments.json:
        print(as_json(rows))
        return 0
    size = shutil.get_terminal_size((100, 24))
    drawing = None if arguments.table else rendered(kql)
    drawn = chart(rows, drawing, size.columns) if drawing else None
    on_terminal = sys.stdout.isatty() and not arguments.table
    print(drawn or as_table(rows, size.columns if on_terminal else 0))
    return 0


def _no_workspace(file: Path) -> str:
    """Where a workspace is, if it is not where it was looked for."""
    hint = "python3 -m tools demo fills one; a demo or start with --folder has its own there"
    if file.parent != WORKSPACE.parent and WORKSPACE.is_file():
        hint += f", and there is one in {WORKSPACE.parent} (leave --folder out)"
    return f"There is no workspace at {file}: {hint}."
