"""Golden rows of the parsers: a row as a table holds it, and what its parser makes of it.

tests/content/golden/parsers/<Alias>.yaml has rows of three kinds: ``ours`` (a stream's golden
record through its transform), ``classic`` (a table that the Data Collector made, with columns of
type guid) and ``codeless`` (a table of Microsoft's codeless connectors). An output names every
column that is not empty. `python -m tests.content.parsed` writes the outputs after a change of a
parser; review the difference as any change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from local.workspace.workspace import Workspace
from shared.records.timestamps import isoformat
from tests.content.golden import NOW, cases, sent
from tools.content import StreamDecl, Table, load_parsers, load_tables

FOLDER = Path(__file__).with_name("golden") / "parsers"
ALIASES = [parser.alias for parser in load_parsers()]
KINDS = ("ours", "classic", "codeless")
CODELESS: dict[str, dict[str, str]] = yaml.safe_load(
    Path(__file__).with_name("codeless_tables.yaml").read_text(encoding="utf-8")
)
# Columns that classic tables have for fields that ours give another column.
CLASSIC_COLUMNS = {
    "SentinelOne_CL": {"agentDetectionInfo_agentLastLoggedInUserName_s": "string"},
}


def golden(alias: str) -> list[dict[str, Any]]:
    """The golden rows of a parser: kind, what, stream or table and row, output."""
    loaded: list[dict[str, Any]] = yaml.safe_load(_path(alias).read_text(encoding="utf-8"))
    return loaded


def codeless_tables() -> list[Table]:
    """The codeless connectors' tables, each with a stream that stores rows as they are."""
    return [_as_it_is(name, columns) for name, columns in CODELESS.items()]


def classic_tables() -> list[Table]:
    """Our tables as the Data Collector typed them: ``_g`` is a guid, nothing of ours is there."""
    return [
        _as_it_is(
            table.name,
            {
                name: "guid" if name.endswith("_g") else kind
                for name, kind in {**table.columns, **CLASSIC_COLUMNS.get(table.name, {})}.items()
                if name not in ("AdditionalFields", "Connection_s", *table.optional_columns)
            },
        )
        for table in load_tables()
        if table.log_type
    ]


def _as_it_is(name: str, columns: Mapping[str, str]) -> Table:
    sent_as = {column: "string" if kind == "guid" else kind for column, kind in columns.items()}
    guids = [column for column, kind in columns.items() if kind == "guid"]
    cast = ", ".join(f"{column} = toguid({column})" for column in guids)
    stream = StreamDecl(stream_of(name), sent_as, f"source | extend {cast}" if cast else "source")
    return Table(
        name=name,
        description="",
        connector="",
        rule_setting=None,
        log_type=None,
        columns=dict(columns),
        streams={stream.name: stream},
        optional_columns=(),
    )


def stream_of(table: str) -> str:
    """The stream that stores rows of a codeless or classic table as they are."""
    return f"Custom-AsItIs-{table}"


def open_workspace(kind: str) -> Workspace:
    """A workspace with the tables of a kind, and the codeless ones beside those of ours."""
    if kind == "classic":
        return Workspace(None, now=lambda: NOW, tables=classic_tables())
    return Workspace(None, now=lambda: NOW, tables=[*load_tables(), *codeless_tables()])


def store(workspace: Workspace, rows: Iterable[Mapping[str, Any]]) -> None:
    """Store golden rows of any kinds."""
    for row in rows:
        if "stream" in row:
            record = cases(row["stream"])[row.get("case", 0)]["record"]
            workspace.ingest(row["stream"], [sent(row["stream"], record)])
        else:
            workspace.ingest(
                stream_of(row["table"]), [{"TimeGenerated": isoformat(NOW), **row["row"]}]
            )
            for further in row.get("further", []):
                workspace.ingest(stream_of(further["table"]), [further["row"]])


def output(workspace: Workspace, alias: str) -> list[dict[str, Any]]:
    """The parser's rows: each column that is not empty."""
    return [
        {name: _plain(value) for name, value in row.items() if value not in ("", None)}
        for row in workspace.query(alias).dicts()
    ]


def made(alias: str) -> list[dict[str, Any]]:
    """The golden rows with the output that the parser gives now."""
    workspaces = {"classic": open_workspace("classic"), "ours": open_workspace("ours")}
    workspaces["codeless"] = workspaces["ours"]
    seen: dict[int, list[dict[str, Any]]] = {}
    written = []
    for row in golden(alias):
        workspace = workspaces[row["kind"]]
        store(workspace, [row])
        before, now = seen.get(id(workspace), []), output(workspace, alias)
        for known in before:
            now.remove(known)
        seen[id(workspace)] = [*before, *now]
        written.append({**row, "output": now[0] if len(now) == 1 else now})
    for workspace in workspaces.values():
        workspace.close()
    return written


def _plain(value: Any) -> Any:
    return isoformat(value) if isinstance(value, datetime) else value


def _path(alias: str) -> Path:
    return FOLDER / f"{alias}.yaml"


def main() -> None:
    """Write each golden file's outputs."""
    for alias in ALIASES:
        text = yaml.safe_dump(made(alias), sort_keys=False, allow_unicode=True, width=110)
        _path(alias).write_text(text.replace("\n- kind", "\n\n- kind"), encoding="utf-8")


if __name__ == "__main__":
    main()
