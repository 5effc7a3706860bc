"""A Log Analytics workspace in a DuckDB file.

A stream's records go through its transform into its table, typed as sentinel/tables declares.
Queries see tables and parsers as they would in Microsoft Sentinel.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import duckdb_kql

from local.workspace import typing_sql
from local.workspace.file import WorkspaceBusyError, WorkspaceFile
from local.workspace.kql_engine import Engine, Rows, case_twins
from local.workspace.kql_errors import QueryError
from local.workspace.kql_rewrite import with_names
from local.workspace.tables import WorkspaceTable
from local.workspace.typing_sql import DUCKDB_TYPES, quoted
from shared.records.codec import dump_json
from tools.asim import workspace_functions
from tools.content import StreamDecl, Table, load_parsers, load_tables

# TimeGenerated outside of this is replaced by the time of receipt.
# https://learn.microsoft.com/azure/azure-monitor/logs/log-standard-columns#timegenerated
OLDEST = timedelta(days=2)
LATEST = timedelta(days=1)

_TWO_STEPS = re.compile(r"json_extract\((\"\w+\"), ('\$[^']*')\) ->> '\$'")


def utc_now() -> datetime:
    """The workspace's clock by default."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class IngestResult:
    """The result of a batch: rows stored, and the changes that Azure Monitor makes silently.

    ``columns_dropped`` counts fields that the stream does not declare and columns that the table
    lacks, each once a batch; ``cells_cut`` values beyond 64 KB; ``times_replaced`` rows whose
    TimeGenerated was missing, over two days old or over a day ahead.
    """

    rows: int
    columns_dropped: int
    cells_cut: int
    times_replaced: int


@dataclass(frozen=True, slots=True)
class _CompiledStream:
    """A stream's compiled transform: SQL over ``source``, its columns, and its table."""

    sql: str
    columns: list[str]
    kept: list[str]
    into: str


class Workspace:
    """Tables that streams fill and queries read; thread-safe.

    ``path`` None keeps all in memory. A file is shared with other processes: it is released half a
    second after the last use. ``tables`` are by default all of sentinel/tables.
    """

    def __init__(
        self,
        path: Path | None,
        now: Callable[[], datetime] = utc_now,
        tables: Sequence[Table] | None = None,
    ) -> None:
        declared = load_tables() if tables is None else tables
        self._now = now
        self._file = WorkspaceFile(path)
        self._twins = case_twins(table.columns for table in declared)
        self._tables = {
            table.name: WorkspaceTable(
                table.name,
                {self._twins.get(name, name): kind for name, kind in table.columns.items()},
            )
            for table in declared
        }
        self._streams = {
            name: (self._tables[table.name], stream)
            for table in declared
            for name, stream in table.streams.items()
        }
        self._engine = Engine(
            {name: table.columns for name, table in self._tables.items()},
            {parser.alias: parser.body for parser in load_parsers()},
            self._twins,
            {each.alias: each for each in workspace_functions()},
        )
        self._compiled_streams: dict[str, _CompiledStream] = {}

    def knows(self, stream: str) -> bool:
        """Whether a data collection rule of this workspace declares ``stream``."""
        return stream in self._streams

    def ingest(self, stream: str, records: Sequence[dict[str, Any]]) -> IngestResult:
        """Store a batch of a stream. Raises ``KeyError`` for an unknown stream."""
        table, declared = self._streams[stream]
        texts = [dump_json(record).decode() for record in records]
        undeclared = set().union(*records) - declared.columns.keys()
        now = self._now().astimezone(UTC).replace(tzinfo=None)
        source = typing_sql.source(declared.columns)
        with self._file.connection() as connection:
            flow = self._compile_stream(connection, table, declared)
            with _transaction(connection):
                connection.execute(f'CREATE OR REPLACE TEMP TABLE "source" AS {source}', [texts])
                rows, cut, replaced = table.store(
                    connection,
                    flow.into,
                    flow.kept,
                    result=flow.sql,
                    now=now,
                    window=(now - OLDEST, now + LATEST),
                    # A character has at most four bytes: short records have no field over it.
                    may_be_long=any(len(text) * 4 > typing_sql.MAX_FIELD_BYTES for text in texts),
                )
                connection.execute('DROP TABLE temp."source"')
        dropped = len(undeclared) + len(flow.columns) - len(flow.kept)
        return IngestResult(rows, dropped, cut, replaced)

    def query(self, kql: str) -> Rows:
        """The result of a query. Raises ``QueryError``, which points into it."""
        with self._file.connection() as connection:
            for table in self._tables.values():
                table.prepare(connection)
            return self._engine.query(connection, kql, self._now())

    def close(self) -> None:
        """Release the file; a workspace in memory is gone."""
        self._file.close()

    def _compile_stream(
        self, connection: duckdb.DuckDBPyConnection, table: WorkspaceTable, stream: StreamDecl
    ) -> _CompiledStream:
        if stream.name not in self._compiled_streams:
            empty = ", ".join(
                f"NULL::{DUCKDB_TYPES[kind]} AS {quoted(name)}"
                for name, kind in stream.columns.items()
            )
            sql = _compiled(with_names(stream.transform, self._twins), tuple(stream.columns))
            described = connection.execute(
                f'DESCRIBE WITH "source" AS (SELECT {empty}) SELECT * FROM ({sql})'
            ).fetchall()
            columns = [row[0] for row in described]
            kept = [name for name in columns if name in table.kinds]
            into = table.ensure_table(connection, stream.name, kept)
            self._compiled_streams[stream.name] = _CompiledStream(sql, columns, kept, into)
        return self._compiled_streams[stream.name]


@functools.cache
def _compiled(transform: str, columns: tuple[str, ...]) -> str:
    """A transform as SQL over the table ``source``; the longest takes half a second."""
    made = str(duckdb_kql.to_sql(transform, schema={"source": list(columns)}))
    # Extract a value's text in one step, without its JSON in between.
    return _TWO_STEPS.sub(r"(\1 ->> \2)", made)


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Store all of a batch or nothing of it."""
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


__all__ = ["IngestResult", "QueryError", "Rows", "Workspace", "WorkspaceBusyError", "utc_now"]
