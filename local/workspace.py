"""A Log Analytics workspace in a DuckDB file.

What arrives on a stream goes through that stream's own transform, then into its table, typed as
sentinel/tables declares. Queries see tables and parsers as they would in Microsoft Sentinel.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import duckdb_kql

from local import ingest_sql
from local.ingest_sql import DUCKDB_TYPES, quoted
from local.kql import Engine, QueryError, Rows, case_twins
from local.kql_text import INGESTION_TIME, with_names
from shared.records import dump_json
from tools.content import StreamDecl, Table, load_parsers, load_tables

# TimeGenerated outside of this is replaced by the time of receipt.
OLDEST = timedelta(days=2)
LATEST = timedelta(days=1)
# Another process may have the file for as long as it is busy with it.
_WAIT_FOR_FILE = 20.0
_RELEASE_AFTER = 0.5


def utc_now() -> datetime:
    """The clock that a workspace has unless it is given another."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of a batch: rows stored, and what Azure Monitor would have changed silently.

    ``columns_dropped`` counts fields that the stream does not declare and columns that the table
    lacks, each once a batch; ``cells_cut`` values beyond 64 KB; ``times_replaced`` rows whose
    TimeGenerated was missing, over two days old or over a day ahead.
    """

    rows: int
    columns_dropped: int
    cells_cut: int
    times_replaced: int


class WorkspaceBusyError(Exception):
    """Another process keeps the workspace's file."""


class Workspace:
    """Tables that streams fill and queries read; for any number of threads.

    ``path`` None keeps all in memory. A file is shared with other processes: it is let go of half
    a second after the last use. ``tables`` is what the workspace has, by default everything in
    sentinel/tables.
    """

    def __init__(
        self,
        path: Path | None,
        now: Callable[[], datetime] = utc_now,
        tables: Sequence[Table] | None = None,
    ) -> None:
        self._path, self._now = path, now
        self._tables = list(load_tables() if tables is None else tables)
        self._streams = {
            name: (table, stream)
            for table in self._tables
            for name, stream in table.streams.items()
        }
        self._twins = case_twins(table.columns for table in self._tables)
        parsers = {parser.alias: parser.body for parser in load_parsers()}
        schema = {table.name: self._stored_columns(table) for table in self._tables}
        self._engine = Engine(schema, parsers, self._twins)
        self._transforms: dict[str, tuple[str, list[str]]] = {}
        self._lock = threading.RLock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._release: threading.Timer | None = None
        self._prepared = False

    def knows(self, stream: str) -> bool:
        """Whether a data collection rule of this workspace declares ``stream``."""
        return stream in self._streams

    def ingest(self, stream: str, records: Sequence[dict[str, Any]]) -> IngestResult:
        """Stores what a stream is sent. Raises ``KeyError`` for an unknown stream."""
        table, declared = self._streams[stream]
        texts = [dump_json(record).decode() for record in records]
        unknown = set().union(*records) - declared.columns.keys() if records else set()
        with self._open() as connection:
            transform, columns = self._transform(connection, declared)
            kept = [name for name in columns if name in self._physical(table)]
            connection.execute("BEGIN")
            try:
                source = ingest_sql.source(declared.columns)
                connection.execute(f'CREATE OR REPLACE TEMP TABLE "source" AS {source}', [texts])
                result = self._store(connection, table, transform, kept, texts)
                connection.execute('DROP TABLE IF EXISTS temp."source"')
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
        dropped = len(unknown) + len(columns) - len(kept)
        return IngestResult(result.rows, dropped, result.cells_cut, result.times_replaced)

    def query(self, kql: str) -> Rows:
        """The result of a query. Raises ``QueryError``, which points into it."""
        with self._open() as connection:
            return self._engine.query(connection, kql, self._now())

    def close(self) -> None:
        """Lets go of the file; what is in memory is gone."""
        with self._lock:
            if self._release:
                self._release.cancel()
            if self._connection:
                self._connection.close()
            self._connection = None

    # ---- ingestion

    def _transform(
        self, connection: duckdb.DuckDBPyConnection, stream: StreamDecl
    ) -> tuple[str, list[str]]:
        """A stream's transformKql as SQL over the table ``source``, and its result's columns."""
        if stream.name not in self._transforms:
            empty = ", ".join(
                f"NULL::{DUCKDB_TYPES[kind]} AS {quoted(name)}"
                for name, kind in stream.columns.items()
            )
            kql = with_names(stream.transform, self._twins)
            made = str(duckdb_kql.to_sql(kql, schema={"source": list(stream.columns)}))
            described = connection.execute(
                f'DESCRIBE WITH "source" AS (SELECT {empty}) SELECT * FROM ({made})'
            )
            self._transforms[stream.name] = made, [row[0] for row in described.fetchall()]
        return self._transforms[stream.name]

    def _store(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: Table,
        transform: str,
        columns: Sequence[str],
        texts: Sequence[str],
    ) -> IngestResult:
        kinds = self._physical(table)
        now = self._now().astimezone(UTC).replace(tzinfo=None)
        stored = ", ".join(f"{ingest_sql.stored(c, kinds[c])} AS {quoted(c)}" for c in columns)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE staged AS SELECT {stored} FROM ({transform})"
        )
        outside = (
            '"TimeGenerated" IS NULL OR "TimeGenerated" < $1::TIMESTAMP '
            'OR "TimeGenerated" > $2::TIMESTAMP'
        )
        replaced = connection.execute(
            f'UPDATE staged SET "TimeGenerated" = $3::TIMESTAMP WHERE {outside}',
            [now - OLDEST, now + LATEST, now],
        ).fetchone()
        long = [c for c in columns if kinds[c] in ("string", "dynamic")]
        values, cells_cut = ", ".join(map(quoted, columns)), 0
        # A field cannot be over the limit where its whole record is under it.
        if any(len(text) * 4 > ingest_sql.MAX_FIELD_BYTES for text in texts) and long:
            counted = " + ".join(f"count_if({ingest_sql.too_long(c)})" for c in long)
            cells_cut = _number(connection.execute(f"SELECT {counted} FROM staged").fetchone())
            values = ", ".join(ingest_sql.cut(c, kinds[c]) for c in columns)
        names = ", ".join(map(quoted, [*columns, "Type", INGESTION_TIME]))
        rows = connection.execute(
            f"INSERT INTO {quoted(table.name)} ({names}) "
            f"SELECT {values}, $1, $2::TIMESTAMP FROM staged",
            [table.name, now],
        ).fetchone()
        connection.execute("DROP TABLE staged")
        return IngestResult(_number(rows), 0, cells_cut, _number(replaced))

    # ---- the file

    @contextmanager
    def _open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._lock:
            if self._release:
                self._release.cancel()
            if self._connection is None:
                self._connection = self._connect()
            if not self._prepared:
                self._prepare(self._connection)
            try:
                yield self._connection
            finally:
                self._let_go_soon()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        give_up = time.monotonic() + _WAIT_FOR_FILE
        while True:
            try:
                connection = duckdb.connect(str(self._path or ":memory:"))
                break
            except duckdb.IOException as error:
                if "lock" not in str(error) or time.monotonic() > give_up:
                    raise WorkspaceBusyError(f"{self._path} cannot be opened: {error}") from error
                time.sleep(0.05)
        # KQL's times are UTC; everything that is needed is in the wheel, nothing is downloaded.
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET autoinstall_known_extensions = false")
        return connection

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Makes the tables, and adds the columns that were declared since."""
        for table in self._tables:
            columns = {**self._physical(table), "Type": "string", INGESTION_TIME: "datetime"}
            typed = {quoted(name): DUCKDB_TYPES[kind] for name, kind in columns.items()}
            listed = ", ".join(f"{name} {kind}" for name, kind in typed.items())
            connection.execute(f"CREATE TABLE IF NOT EXISTS {quoted(table.name)} ({listed})")
            for name, kind in typed.items():
                connection.execute(
                    f"ALTER TABLE {quoted(table.name)} ADD COLUMN IF NOT EXISTS {name} {kind}"
                )
        self._prepared = True

    def _let_go_soon(self) -> None:
        if self._path:
            self._release = threading.Timer(_RELEASE_AFTER, self._let_go)
            self._release.daemon = True
            self._release.start()

    def _let_go(self) -> None:
        with self._lock:
            if self._release is threading.current_thread() and self._connection:
                self._connection.close()
                self._connection = None

    def _physical(self, table: Table) -> dict[str, str]:
        """A table's columns by the names that DuckDB keeps apart."""
        return {self._twins.get(name, name): kind for name, kind in table.columns.items()}

    def _stored_columns(self, table: Table) -> list[str]:
        return [*self._physical(table), "Type", INGESTION_TIME]


def _number(row: tuple[Any, ...] | None) -> int:
    return int(row[0]) if row and row[0] is not None else 0


__all__ = ["IngestResult", "QueryError", "Rows", "Workspace", "WorkspaceBusyError", "utc_now"]
