"""A workspace's tables in DuckDB.

Each stream has a table with only the columns that its transform makes; a view over them is the
table that queries see. So a batch writes tens of columns, not hundreds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb

from local.workspace import typing_sql
from local.workspace.kql_rewrite import INGESTION_TIME
from local.workspace.typing_sql import DUCKDB_TYPES, quoted

# Columns of every table: its name, and the time behind ingestion_time().
_OF_EVERY_TABLE = {"Type": "string", INGESTION_TIME: "datetime"}


class WorkspaceTable:
    """A table, and the streams' rows in it."""

    def __init__(self, name: str, columns: Mapping[str, str]) -> None:
        self.name = name
        self.kinds = dict(columns)
        self._viewed: list[tuple[Any, ...]] | None = None

    @property
    def columns(self) -> list[str]:
        """The columns of the view, among them the one behind ``ingestion_time()``."""
        return [*self.kinds, *_OF_EVERY_TABLE]

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Create the view over the streams that have rows, with the columns as declared now.

        It takes some tenths of a second: keep it until a stream's table changes.
        """
        owned = connection.execute(
            "SELECT table_name, column_count FROM duckdb_tables() "
            "WHERE starts_with(table_name, $1) ORDER BY ALL",
            [f"{self.name}/"],
        ).fetchall()
        if owned == self._viewed:
            return
        # The first part has no rows: the view must exist before the first batch.
        parts = [f"{self._part([])} WHERE false"]
        for name, _ in owned:
            described = connection.execute(f"DESCRIBE {quoted(name)}").fetchall()
            parts.append(f"{self._part([row[0] for row in described])} FROM {quoted(name)}")
        connection.execute(
            f"CREATE OR REPLACE VIEW {quoted(self.name)} AS {' UNION ALL '.join(parts)}"
        )
        self._viewed = owned

    def _part(self, present: Sequence[str]) -> str:
        kinds = {**self.kinds, INGESTION_TIME: "datetime"}
        values = {
            name: f"{quoted(name)}::{DUCKDB_TYPES[kind]}"
            if name in present
            # A string column has no nulls in Log Analytics.
            else ("''" if kind == "string" else f"NULL::{DUCKDB_TYPES[kind]}")
            for name, kind in kinds.items()
        }
        values["Type"] = "'" + self.name.replace("'", "''") + "'"
        return "SELECT " + ", ".join(f"{values[name]} AS {quoted(name)}" for name in self.columns)

    def ensure_table(
        self, connection: duckdb.DuckDBPyConnection, stream: str, columns: Sequence[str]
    ) -> str:
        """Create or widen the table of a stream's rows; return its name as an SQL identifier."""
        table = quoted(f"{self.name}/{stream}")
        kinds = {**{name: self.kinds[name] for name in columns}, INGESTION_TIME: "datetime"}
        typed = [f"{quoted(name)} {DUCKDB_TYPES[kind]}" for name, kind in kinds.items()]
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(typed)})")
        for column in typed:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column}")
        return table

    def store(
        self,
        connection: duckdb.DuckDBPyConnection,
        into: str,
        columns: Sequence[str],
        *,
        result: str,
        now: datetime,
        window: tuple[datetime, datetime],
        may_be_long: bool,
    ) -> tuple[int, int, int]:
        """Type, cut and store the rows of the query ``result``.

        A TimeGenerated outside of ``window`` becomes ``now``. Returns how many rows were stored,
        how many values were cut and how many times were replaced. Times are naive UTC.
        """
        stored = ", ".join(
            f"{typing_sql.stored(name, self.kinds[name])} AS {quoted(name)}" for name in columns
        )
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE staged AS SELECT {stored} FROM ({result})"
        )
        replaced = connection.execute(
            'UPDATE staged SET "TimeGenerated" = $3::TIMESTAMP WHERE "TimeGenerated" IS NULL '
            'OR "TimeGenerated" < $1::TIMESTAMP OR "TimeGenerated" > $2::TIMESTAMP',
            [*window, now],
        ).fetchone()
        values, cut = ", ".join(map(quoted, columns)), 0
        long = [name for name in columns if self.kinds[name] in ("string", "dynamic")]
        if may_be_long and long:
            counted = " + ".join(f"count(*) FILTER ({typing_sql.too_long(name)})" for name in long)
            cut = _number(connection.execute(f"SELECT {counted} FROM staged").fetchone())
            values = ", ".join(typing_sql.cut(name, self.kinds[name]) for name in columns)
        names = ", ".join(map(quoted, [*columns, INGESTION_TIME]))
        rows = connection.execute(
            f"INSERT INTO {into} ({names}) SELECT {values}, $1::TIMESTAMP FROM staged", [now]
        ).fetchone()
        connection.execute("DROP TABLE staged")
        return _number(rows), cut, _number(replaced)


def _number(row: tuple[Any, ...] | None) -> int:
    return int(row[0]) if row and row[0] is not None else 0
