"""KQL over DuckDB: duckdb-kql, and the functions of Log Analytics that it lacks.

Added are parsers called by their alias, ``ingestion_time()``, ``column_ifexists()``, columns
whose names differ by case alone, which DuckDB takes for one, and the operators of kql_stages.py.
Names are case-sensitive as in Azure.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb
import duckdb_kql
from duckdb_kql.translate import CLOCK_SLOT
from duckdb_kql.types import kusto_type

from local.workspace.kql_errors import QueryError, query_error
from local.workspace.kql_functions import with_functions
from local.workspace.kql_names import check_names
from local.workspace.kql_pipeline import operators
from local.workspace.kql_rewrite import (
    INGESTION_TIME,
    with_existing_columns,
    with_ingestion_time,
    with_names,
    without_absent_arms,
    without_calls,
)
from local.workspace.kql_search import TABLE
from local.workspace.kql_stages import STAGE, Stages, needs_stages, without_serialize
from local.workspace.kql_tokens import place, tokens
from local.workspace.typing_sql import quoted
from tools.content import Parser

Schema = dict[str, list[str]]

# A query that is asked again, as a rule's is, takes its translation (a tenth of a second) once.
_TRANSLATIONS_KEPT = 200


@dataclass(frozen=True, slots=True)
class Rows:
    """A query's result: columns as name and KQL type, rows in their order.

    A dynamic value is decoded JSON, a datetime is aware (UTC), a string is never None.
    """

    columns: list[tuple[str, str]]
    rows: list[tuple[Any, ...]]

    def dicts(self) -> list[dict[str, Any]]:
        """The rows as column to value."""
        names = [name for name, _ in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


def case_twins(tables: Iterable[Iterable[str]]) -> dict[str, str]:
    """Other names, of the same length, for columns that differ from an earlier one by case."""
    renamed: dict[str, str] = {}
    for columns in tables:
        taken: set[str] = set()
        for name in columns:
            other, digit = renamed.get(name, name), 2
            while other.casefold() in taken:
                other, digit = f"{name[:-1]}{digit}", digit + 1
            taken.add(other.casefold())
            if other != name:
                renamed[name] = other
    return renamed


class Engine:
    """Queries over one DuckDB connection whose tables were made for them.

    ``parsers`` are aliases and their queries, ``functions`` those with parameters. The caller
    ensures that one thread at a time uses the connection.
    """

    def __init__(
        self,
        schema: Schema,
        parsers: Mapping[str, str],
        twins: dict[str, str],
        functions: Mapping[str, Parser],
    ) -> None:
        self._tables = list(schema)
        self._schema = dict(schema)
        self._parsers = dict(parsers)
        self._functions = functions
        self._twins = twins
        self._names = {**{other: name for name, other in twins.items()}, TABLE: "$table"}
        self._views: dict[str, str] = {}
        self._translated: dict[str, Translated] = {}

    @property
    def sources(self) -> list[str]:
        """The names that a query may use: tables, parsers and functions."""
        return [*self._tables, *self._parsers, *self._functions]

    def sql(self, connection: duckdb.DuckDBPyConnection, kql: str, now: datetime) -> Translated:
        """Translate the query into SQL for DuckDB and its parameters. Raises ``QueryError``."""
        if kql not in self._translated:
            try:
                self._prepare_parsers(connection, kql)
                self._check_names(kql)
                made = self._translation(connection, kql, now)
            except (duckdb_kql.KqlError, duckdb.Error) as fault:
                raise self._error(fault, kql) from fault
            if len(self._translated) == _TRANSLATIONS_KEPT:
                self._translated.clear()
            self._translated[kql] = made
        else:
            self._prepare_parsers(connection, kql)
        return self._translated[kql].at(now)

    def _translation(
        self, connection: duckdb.DuckDBPyConnection, kql: str, now: datetime
    ) -> Translated:
        text = without_calls(self._rewritten(connection, kql), self._parsers)
        made = duckdb_kql.to_sql(text, schema=self._schema, query_now=now, allow_write=False)
        return Translated(str(made), dict(made.parameters))

    def _check_names(self, kql: str) -> None:
        """Raise ``QueryError`` for a name whose case is wrong."""
        named = {token.text for token in tokens(kql)}
        every = bool(named & {"union", "search"})
        columns = {
            self._names.get(column, column)
            for source, names in self._schema.items()
            if every or source in named
            for column in names
        }
        check_names(kql, columns, self.sources)

    def query(self, connection: duckdb.DuckDBPyConnection, kql: str, now: datetime) -> Rows:
        """The query's result. Raises ``QueryError``, which points to its place."""
        if not tokens(kql):
            raise QueryError("the query is empty")
        try:
            lets, rest = with_functions(kql, self._functions)
        except ValueError as fault:
            raise QueryError(str(fault)) from fault
        if not lets:
            return self._placed(connection, kql, now)
        try:
            return self._placed(connection, f"{lets}\n{rest}", now)
        except QueryError as error:
            # The functions' statements are one line above the query.
            raise error.at(error.line - 1, error.column) from error

    def _placed(self, connection: duckdb.DuckDBPyConnection, kql: str, now: datetime) -> Rows:
        try:
            return self._query(connection, kql, now)
        except (duckdb_kql.KqlError, duckdb.Error) as fault:
            error = self._error(fault, kql)
            if not error.placed:
                error = error.at(*place(kql, self._failing(connection, kql, now)))
            raise error from fault

    def _query(self, connection: duckdb.DuckDBPyConnection, kql: str, now: datetime) -> Rows:
        kql = without_serialize(kql)
        if not needs_stages(kql):
            return self._rows(connection, self.sql(connection, kql, now))
        if wrong := duckdb_kql.validate(kql):
            raise duckdb_kql.KqlSyntaxError("", wrong)
        self._prepare_parsers(connection, kql)
        self._check_names(kql)

        def translate(text: str) -> tuple[str, dict[str, Any]]:
            made = self._translation(connection, text, now).at(now)
            return made.sql, made.parameters

        # `search` looks in every table, whether the query names it or not.
        stages = Stages(connection, translate, self._schema, self.sources)
        try:
            text = stages.run(kql)
            return self._rows(connection, Translated(*translate(text)))
        except (duckdb_kql.KqlError, duckdb.Error, QueryError) as fault:
            # The text that failed is another than the query: its places are not the query's.
            error = fault if isinstance(fault, QueryError) else self._error(fault, kql, moved=True)
            raise (error if error.placed else error.at(*place(kql, stages.at))) from fault
        finally:
            stages.drop()

    def _rows(self, connection: duckdb.DuckDBPyConnection, made: Translated) -> Rows:
        result = connection.execute(made.sql, made.parameters or None)
        described, rows = result.description or [], result.fetchall()
        kept = [
            (index, self._names.get(column[0], column[0]), _kind(column[1]))
            for index, column in enumerate(described)
            if not column[0].startswith((INGESTION_TIME, STAGE))
        ]
        return Rows(
            [(name, kind) for _, name, kind in kept],
            [tuple(_value(row[index], kind) for index, _, kind in kept) for row in rows],
        )

    def _failing(self, connection: duckdb.DuckDBPyConnection, kql: str, now: datetime) -> int:
        """The place of the first operator with which the query fails: try it up to each one."""
        outer = [operator for operator in operators(kql) if operator.depth == 0]
        for operator in outer:
            try:
                self._rows(
                    connection, self._translation(connection, kql[: operator.end], now).at(now)
                )
            except (duckdb_kql.KqlError, duckdb.Error):
                return operator.start
        return outer[-1].start if outer else 0

    def _rewritten(self, connection: duckdb.DuckDBPyConnection, kql: str) -> str:
        def columns_of(query: str) -> list[str]:
            """The columns of a rewritten query's result."""
            made = duckdb_kql.to_sql(query, schema=self._schema)
            return _columns(connection, str(made), made.parameters)

        present = without_absent_arms(kql, self.sources)
        text = with_names(with_ingestion_time(present), self._twins)
        return with_existing_columns(text, columns_of, self._twins)

    def _prepare_parsers(self, connection: duckdb.DuckDBPyConnection, kql: str) -> None:
        """Create the parsers that a query names: each a view, translated once."""
        for alias in self._parsers.keys() & {token.text for token in tokens(kql)}:
            if alias not in self._views:
                tables = {name: tuple(self._schema[name]) for name in self._tables}
                body = self._rewritten(connection, self._parsers[alias])
                self._views[alias] = _translated(body, tuple(tables.items()))
            there = "SELECT 1 FROM duckdb_views() WHERE temporary AND view_name = $1"
            if not connection.execute(there, [alias]).fetchall():
                connection.execute(f"CREATE TEMP VIEW {quoted(alias)} AS {self._views[alias]}")
            self._schema[alias] = _columns(connection, f"SELECT * FROM {quoted(alias)}", {})

    def _error(self, fault: Exception, kql: str, *, moved: bool = False) -> QueryError:
        return query_error(fault, kql, self.sources, moved=moved)


@dataclass(frozen=True, slots=True)
class Translated:
    """SQL, and the values of its named parameters."""

    sql: str
    parameters: dict[str, Any]

    def at(self, now: datetime) -> Translated:
        """The same with the clock of a run."""
        moment = now.astimezone(UTC).replace(tzinfo=None)
        bound = {CLOCK_SLOT: moment} if CLOCK_SLOT in self.parameters else {}
        return Translated(self.sql, self.parameters | bound)


@functools.cache
def _translated(kql: str, schema: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    """A parser's query as SQL; the longest takes a second."""
    return str(duckdb_kql.to_sql(kql, schema={name: list(columns) for name, columns in schema}))


def _columns(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any]
) -> list[str]:
    """The columns of an SQL query's result."""
    described = connection.execute(f"DESCRIBE {sql}", dict(parameters) or None)
    return [row[0] for row in described.fetchall()]


def _kind(duckdb_type: object) -> str:
    """The KQL type; a column without a type is ``dynamic(null)``."""
    return "dynamic" if str(duckdb_type).strip('"') == "NULL" else kusto_type(duckdb_type)


def _value(value: Any, kind: str) -> Any:
    if kind == "string":
        return "" if value is None else value
    if kind == "dynamic":
        return json.loads(value) if isinstance(value, str) else value
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value


__all__ = ["Engine", "QueryError", "Rows", "Schema", "case_twins"]
