"""Errors of a query, with the place in it.

The engine (duckdb-kql) and the database (DuckDB) report faults in their own words, some of them
about generated SQL. Translate them into one kind of error that points into the query.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import duckdb
from duckdb_kql import KqlError, KqlSchemaError, KqlSyntaxError, KqlUnsupportedError
from duckdb_kql.errors import SourceSpan
from duckdb_kql.types import kusto_type

from local.workspace.kql_tokens import Token, place, tokens

OPERATORS = (
    "as consume count datatable distinct evaluate extend facet find fork getschema invoke join "
    "limit lookup make-series mv-apply mv-expand order parse parse-kv parse-where partition print "
    "project project-away project-keep project-rename project-reorder range reduce render sample "
    "sample-distinct scan search serialize sort summarize take top top-hitters top-nested union "
    "where"
).split()

# Read by Log Analytics alone.
MISSING = (
    "as consume evaluate externaldata facet find fork invoke mv-apply parse-kv partition "
    "project-reorder reduce scan top-hitters top-nested"
).split()
_CONVERT = "; convert with tostring(), tolong(), todouble() or todatetime()"


class QueryError(Exception):
    """A query that cannot be run. Line and column are counted from 1.

    Without a line its place is not known yet: ``placed`` is False.
    """

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.placed = line > 0
        self.line, self.column = max(1, line), max(1, column)

    def at(self, line: int, column: int) -> QueryError:
        """The same error at a place."""
        return QueryError(self.message, line, column)

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"

    def pointing(self, kql: str) -> str:
        """The message, the query's line, and a caret under the place."""
        lines = kql.split("\n")
        line = lines[self.line - 1] if self.line <= len(lines) else ""
        # A tab in the line stays a tab under it, so that the caret stands where it should.
        lead = "".join("\t" if c == "\t" else " " for c in line[: self.column - 1])
        return f"{self}\n  {line}\n  {lead}^"


def query_error(
    fault: Exception, kql: str, sources: Sequence[str], *, moved: bool = False
) -> QueryError:
    """Translate a fault of the engine or the database into an error in ``kql``.

    ``sources`` are the tables and parsers that a query may name. With ``moved`` the engine read a
    rewritten text, whose lines and columns are not those of ``kql``.
    """
    if isinstance(fault, KqlSyntaxError):
        return _syntax(fault, kql)
    if isinstance(fault, KqlUnsupportedError):
        return _unsupported(fault, kql, moved)
    if isinstance(fault, KqlSchemaError):
        return _schema(fault, kql, sources)
    if isinstance(fault, KqlError):
        return QueryError(str(fault))
    return _database(fault, kql, sources)


def _syntax(fault: KqlSyntaxError, kql: str) -> QueryError:
    for before, word in _stages(kql):
        if before.text == "|" and word.text not in OPERATORS:
            near = difflib.get_close_matches(word.text, OPERATORS, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            return _at(kql, word.start, f"there is no operator {word.text}{hint}")
        if word.text in MISSING:
            return _at(kql, word.start, _only_there(word.text))
    if not fault.diagnostics:
        return QueryError(str(fault))
    first = fault.diagnostics[0]
    here = (first.span.line, first.span.column + 1)
    for before, word in _stages(kql):
        if place(kql, before.start) == here:  # the parser gives up at the pipe before it
            return _at(
                kql,
                word.start,
                f"{word.text} is incomplete or wrong: see its page in the reference of KQL",
            )
    return QueryError(_plain(first.message), first.span.line, first.span.column + 1)


def _stages(kql: str) -> list[tuple[Token, Token]]:
    """Each pipe with the operator's name after it, hyphens included."""
    found = tokens(kql)
    stages = []
    for index, token in enumerate(found[:-1]):
        word, at = found[index + 1], index + 2
        while at + 1 < len(found) and found[at].text == "-" and found[at].start == word.end:
            word = Token("name", f"{word.text}-{found[at + 1].text}", word.start)
            at += 2
        if token.text == "|" and word.kind == "name":
            stages.append((token, word))
    return stages


def _plain(message: str) -> str:
    """A parser's message without its list of everything that might have stood there."""
    if "'<EOF>'" in message:
        return "the query ends too early: something is missing, perhaps a closing bracket"
    return re.sub(r" expecting \{.*", " here", message, flags=re.DOTALL)


def _unsupported(fault: KqlUnsupportedError, kql: str, moved: bool) -> QueryError:
    kind, _, name = fault.construct.partition(":")
    span = None if moved else fault.span
    if kind in ("function", "aggregate"):
        what = f"the function {name}()" if kind == "function" else f"{name}() in summarize"
    else:
        what = (_operator_at(kql, span) if span else None) or _as_written(name or kind)
    if kind == "distinct *":
        what = "distinct *"
    message = _only_there(what)
    if span:
        return QueryError(message, span.line, span.column + 1)
    return _at_name(kql, name or kind, message)


def _only_there(what: str) -> str:
    return f"the local workspace cannot run {what}; Log Analytics may (see query --help)"


def _operator_at(kql: str, span: SourceSpan) -> str | None:
    """The operator that begins at the engine's place, by its name as typed."""
    here = (span.line, span.column + 1)
    return next((word.text for _, word in _stages(kql) if place(kql, word.start) == here), None)


def _as_written(construct: str) -> str:
    """An operator by its name in KQL: MakeSeriesOperator is make-series."""
    plain = construct.removesuffix("Operator").removesuffix("Expression").lower()
    if plain == "stringstaroperator":
        return "a comparison with * (search looks in every column)"
    return next((name for name in OPERATORS if name.replace("-", "") == plain), plain)


def _schema(fault: KqlSchemaError, kql: str, sources: Sequence[str]) -> QueryError:
    if fault.hint and fault.hint.startswith("unknown table"):
        return _unknown_source(fault.name, kql, sources)
    return _at_name(kql, fault.name, f"{fault.name}: {fault.hint}" if fault.hint else str(fault))


def _database(fault: Exception, kql: str, sources: Sequence[str]) -> QueryError:
    text = str(fault)
    if match := re.search(r"Table with name (\S+) does not exist", text):
        return _unknown_source(match[1], kql, sources)
    if match := re.search(r'Referenced column "([^"]+)"', text):
        candidates = re.findall(r'"([^"]+)"', text.partition("Candidate bindings:")[2])
        return _unknown_column(match[1], kql, candidates)
    if match := re.search(r'does not have a column named "([^"]+)"', text):
        return _unknown_column(match[1], kql, [])
    # `by` names its result like the column, and DuckDB confuses the two.
    if match := re.search(r'Alias with name "+([^"]+)"+ exists', text):
        return _unknown_column(match[1], kql, [])
    if isinstance(fault, duckdb.ConversionException | duckdb.BinderException) and (
        assignment := _assignment_in_where(kql)
    ):
        return _at(kql, assignment.start, "compare with ==; a single = gives a name")
    return _of_types(text) or QueryError(text.partition("\n")[0].partition("Error: ")[2] or text)


def _of_types(text: str) -> QueryError | None:
    """A fault about a value's type or form, in KQL's words."""
    if match := re.search(r"given name and argument types '(\w+)\((.*?)\)'", text):
        kinds = " and ".join(_kql_type(kind) for kind in match[2].split(", "))
        return QueryError(f"values of these types do not go together here: {kinds}{_CONVERT}")
    if match := re.search(r"Cannot compare values of type (\w+) and type (\w+)", text):
        kinds = f"{_kql_type(match[1])} with {_kql_type(match[2])}"
        return QueryError(f"cannot compare {kinds}{_CONVERT}")
    if match := re.search(r'invalid timestamp field format: "(.*?)"', text):
        return QueryError(f'"{match[1]}" is no time: write datetime(2026-01-31)')
    if match := re.search(r"Could not convert string '(.*?)' to (\w+)", text):
        return QueryError(f"'{match[1]}' is no {_kql_type(match[2])}{_CONVERT}")
    if text.startswith("Invalid Input Error") and re.search(
        r"missing [)\]]|repetition|escape", text
    ):
        return QueryError(f"the regular expression is wrong: {text.partition('Error: ')[2]}")
    return None


def _kql_type(kind: str) -> str:
    """The database's type by its name in KQL."""
    return kusto_type(
        kind.removesuffix("_LITERAL")
        .replace("STRING", "VARCHAR")
        .replace("INTEGER_VARCHAR", "INTEGER")
    )


def _unknown_source(name: str, kql: str, sources: Sequence[str]) -> QueryError:
    known = ", ".join(sorted(sources))
    return _at_name(kql, name, f"there is no table or parser {name}; there are {known}")


def _unknown_column(name: str, kql: str, candidates: Sequence[str]) -> QueryError:
    if name.startswith("__ingestion"):
        message = "ingestion_time() must stand before an operator that makes new rows or columns"
        return _at_name(kql, "ingestion_time", message)
    near = difflib.get_close_matches(name, [c for c in candidates if c != name], 3, 0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return _at_name(kql, name, f"there is no column {name} here{hint}")


def _assignment_in_where(kql: str) -> Token | None:
    operator = ""
    for token in tokens(kql):
        if token.text == "|":
            operator = ""
        elif not operator:
            operator = token.text
        elif operator in ("where", "filter") and token.text == "=":
            after, before = kql[token.end : token.end + 1], kql[token.start - 1]
            if after not in ("=", "~") and before not in "=!<>":
                return token
    return None


def _at_name(kql: str, name: str, message: str) -> QueryError:
    for token in tokens(kql):
        if token.text == name or (token.kind == "string" and token.text.strip("'\"") == name):
            return _at(kql, token.start, message)
    return QueryError(message)


def _at(kql: str, at: int, message: str) -> QueryError:
    return QueryError(message, *place(kql, at))
