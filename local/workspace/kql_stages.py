"""Operators and functions of KQL that duckdb-kql lacks, run here: an operator at a time.

The rows that reach such an operator are kept in a temporary table, its result in another, and the
text up to its end is replaced by that table's name, so that the rest of the query goes on from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from local.workspace import kql_make_series, kql_search
from local.workspace.kql_pipeline import Call, Operator, calls, operators
from local.workspace.kql_tokens import tokens
from local.workspace.typing_sql import literal, quoted

STAGE = "__s"  # a temporary table's name begins so, and that of a column made for a moment
WINDOW_FUNCTIONS = ("prev", "next", "row_number", "row_cumsum")
_LISTS = ("make_list", "make_set")
OPERATORS = ("make-series", "sample", "sample-distinct", "search", "serialize")


# Translate KQL into SQL and its parameters; raises duckdb-kql's errors.
Translate = Callable[[str], tuple[str, dict[str, Any]]]


@dataclass(slots=True)
class Stages:
    """The temporary tables of one query. ``schema`` gets their columns while the query runs."""

    connection: duckdb.DuckDBPyConnection
    translate: Translate
    schema: dict[str, list[str]]
    sources: Sequence[str]
    at: int = 0  # the operator that runs, for the place of an error
    _made: dict[str, str] = field(default_factory=dict)

    def run(self, kql: str) -> str:
        """The query with every stretch that was run here replaced by a table's name."""
        while (
            operator := next(filter(lambda o: _is_local(kql, o), operators(kql)), None)
        ) is not None:
            self.at = operator.start
            begin = operator.pipeline if operator.pipe is not None else operator.start
            lets = kql[: operator.statement]
            rows = kql[begin : operator.pipe] if operator.pipe is not None else ""
            table = self._result(kql, operator, lets, rows)
            rest = "".join(c if c == "\n" else " " for c in kql[begin + len(table) : operator.end])
            kql = f"{kql[:begin]}{table}{rest}{kql[operator.end :]}"
        return kql

    def drop(self) -> None:
        """Remove the tables and views."""
        for name, kind in reversed(self._made.items()):
            self.schema.pop(name, None)
            self.connection.execute(f"DROP {kind} IF EXISTS {quoted(name)}")

    def keep(self, kql: str) -> str:
        """Keep the rows of a query; return the table's name."""
        return self.keep_sql(*self.translate(kql))

    def keep_sql(self, sql: str, parameters: dict[str, Any] | None = None) -> str:
        """Keep the rows of an SQL query; return the table's name."""
        return self._create("TABLE", sql, parameters)

    def view(self, sql: str) -> str:
        """Name an SQL query; return the name."""
        return self._create("VIEW", sql, None)

    def count(self, table: str) -> int:
        """How many rows a table has."""
        row = self.connection.execute(f"SELECT count(*) FROM {quoted(table)}").fetchone()
        return int(row[0]) if row else 0

    def _create(self, kind: str, sql: str, parameters: dict[str, Any] | None) -> str:
        name = f"{STAGE}{len(self._made) + 1}"
        self._made[name] = kind
        self.connection.execute(
            f"CREATE OR REPLACE TEMP {kind} {quoted(name)} AS {sql}", parameters or None
        )
        described = self.connection.execute(f"DESCRIBE {quoted(name)}").fetchall()
        self.schema[name] = [row[0] for row in described]
        return name

    def scalar(self, lets: str, expression: str) -> Any:
        """The value of an expression."""
        sql, parameters = self.translate(f"{lets}\nprint v = {expression}")
        row = self.connection.execute(sql, parameters or None).fetchone()
        return None if row is None else row[0]

    def _result(self, kql: str, operator: Operator, lets: str, rows: str) -> str:
        rest = kql[operator.start + len(operator.name) : operator.end].strip()
        match operator.name:
            case "search":
                return kql_search.run(self, lets, rows, rest)
            case "make-series":
                return kql_make_series.run(self, lets, rows, rest)
            case "sample":
                table = self.keep(f"{lets}\n{rows}")
                count = int(self.scalar(lets, rest))
                return self.keep_sql(
                    f"SELECT * FROM {quoted(table)} USING SAMPLE reservoir({count} ROWS)"
                )
            case "sample-distinct":
                count_text, _, column = rest.partition(" of ")
                return self.keep(f"{lets}\n{rows} | distinct {column} | take {count_text}")
        name = "extend" if operator.name == "serialize" else operator.name
        text = f"{name} {_rewritten_aggregates(rest)}"
        table = self.keep(f"{lets}\n{rows}")
        found = calls(text, WINDOW_FUNCTIONS)
        if not found:
            return self.keep(f"{lets}\n{table} | {text}")
        return self._with_windows(lets, table, text, found)

    def _with_windows(self, lets: str, table: str, text: str, found: Sequence[Call]) -> str:
        """Compute prev() and its like in columns of their own, then run the operator over them."""
        row = f"{STAGE}row"
        inputs = {
            f"{STAGE}in{n}": call.arguments[0] for n, call in enumerate(found) if call.arguments
        }
        extended = "".join(f" | extend {name} = {value}" for name, value in inputs.items())
        source = self.keep_sql(f"SELECT *, row_number() OVER () AS {row} FROM {quoted(table)}")
        source = self.keep(f"{lets}\n{source}{extended}")
        over = f"OVER (ORDER BY {row})"
        windows = [
            f"{self._window(lets, call, f'{STAGE}in{n}', over)} AS {STAGE}out{n}"
            for n, call in enumerate(found)
        ]
        source = self.keep_sql(
            f"SELECT *, {', '.join(windows)} FROM {quoted(source)} ORDER BY {row}"
        )
        for n, call in reversed(list(enumerate(found))):
            text = f"{text[: call.start]}{STAGE}out{n}{text[call.end :]}"
        result = self.keep(f"{lets}\n{source} | {text}")
        kept = [name for name in self.schema[result] if not name.startswith(STAGE)]
        return self.keep_sql(f"SELECT {', '.join(map(quoted, kept))} FROM {quoted(result)}")

    def _window(self, lets: str, call: Call, column: str, over: str) -> str:
        if call.name == "row_number":
            first = int(self.scalar(lets, call.arguments[0])) if call.arguments else 1
            return f"row_number() {over} + {first - 1}"
        if call.name == "row_cumsum":
            return f"sum({column}) {over}"
        offset = int(self.scalar(lets, call.arguments[1])) if len(call.arguments) > 1 else 1
        shifted = f"{'lag' if call.name == 'prev' else 'lead'}({column}, {offset}"
        if len(call.arguments) < 3:
            return f"{shifted}) {over}"
        return f"{shifted}, {literal(self.scalar(lets, call.arguments[2]))}) {over}"


def _is_local(kql: str, operator: Operator) -> bool:
    if operator.pipe is None:
        return operator.name == "search" and _begins_search(kql, operator)
    if operator.name in OPERATORS:
        return True
    if operator.name == "summarize":
        text = kql[operator.start : operator.end]
        found = calls(text, _LISTS)
        return any(len(c.arguments) > 1 for c in found) or bool(calls(text, ["percentiles"]))
    windows = operator.name in ("extend", "where", "filter", "project")
    return windows and bool(calls(kql[operator.start : operator.end], WINDOW_FUNCTIONS))


def _begins_search(kql: str, operator: Operator) -> bool:
    """Whether a source named search is the operator: something to search for follows."""
    rest = kql[operator.start + len(operator.name) : operator.end].strip()
    return bool(rest) and rest[0] not in "=,)"


def without_serialize(kql: str) -> str:
    """The query without ``serialize`` where that adds no column: rows keep their order anyway."""
    for operator in operators(kql):
        rest = kql[operator.start + len(operator.name) : operator.end]
        if operator.name == "serialize" and operator.pipe is not None and not rest.strip():
            blank = " " * (operator.end - len(rest) - operator.pipe)
            kql = f"{kql[: operator.pipe]}{blank}{kql[operator.end - len(rest) :]}"
    return kql


def needs_stages(kql: str) -> bool:
    """Whether a part of the query is run here."""
    words = {token.text for token in tokens(kql)}
    if not words & {
        "search",
        "series",
        "sample",
        "serialize",
        "percentiles",
        *_LISTS,
        *WINDOW_FUNCTIONS,
    }:
        return False
    return any(_is_local(kql, operator) for operator in operators(kql))


def _rewritten_aggregates(text: str) -> str:
    """percentiles() as several percentile(), and make_list(v, n) as the first n of make_list(v)."""
    rewrite: dict[str, Callable[[str, Call], tuple[int, str] | None]] = {
        "percentiles": _percentiles,
        "make_list": _first_of_list,
        "make_set": _first_of_list,
    }
    for call in reversed(calls(text, rewrite)):
        if made := rewrite[call.name](text, call):
            start, replacement = made
            text = f"{text[:start]}{replacement}{text[call.end :]}"
    return text


def _percentiles(text: str, call: Call) -> tuple[int, str]:
    value, *wanted = call.arguments
    start, names = _names_before(text, call.start)
    each = [f"percentile({value}, {percent})" for percent in wanted]
    for index, name in enumerate(names[: len(each)]):
        each[index] = f"{name} = {each[index]}"
    return start, ", ".join(each)


def _first_of_list(text: str, call: Call) -> tuple[int, str] | None:
    if len(call.arguments) < 2:
        return None
    value, most = call.arguments
    start, names = _names_before(text, call.start)
    column = value if value.isidentifier() else ""
    name = names[0] if names else f"{call.name.removeprefix('make_')}_{column}"
    return start, f"{name} = array_slice({call.name}({value}), 0, ({most}) - 1)"


def _names_before(text: str, call: int) -> tuple[int, list[str]]:
    """The names that an aggregate is given, ``name =`` or ``(a, b) =``, and where they begin."""
    before = [token for token in tokens(text) if token.end <= call]
    if len(before) < 2 or before[-1].text != "=":
        return call, []
    if before[-2].text != ")":
        return before[-2].start, [before[-2].text]
    start = next(i for i in range(len(before) - 1, -1, -1) if before[i].text == "(")
    return before[start].start, [t.text for t in before[start:-2] if t.kind == "name"]
