"""``search``: rows in which any column, or the one named, has a term.

https://learn.microsoft.com/kusto/query/search-operator
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import duckdb
from duckdb_kql import KqlError

from local.workspace.kql_tokens import Token, tokens, unquoted
from local.workspace.typing_sql import literal, quoted

if TYPE_CHECKING:
    from local.workspace.kql_stages import Stages

_TEXT = "__stext"
TABLE = "_table"  # shown as $table; as long, and a name that the engine reads
_COMPARISONS = frozenset("has hasprefix hassuffix contains startswith endswith in regex".split())
_HEAD = re.compile(r"\s*(?:kind\s*=\s*(?P<kind>\w+)\s*)?(?:in\s*\((?P<tables>[^)]*)\)\s*)?")


def run(stages: Stages, lets: str, rows: str, text: str) -> str:
    """Keep the rows found in ``rows``, or in every table where that is empty."""
    head = _HEAD.match(text)
    predicate = text[head.end() :] if head else text
    where = _where(predicate, sensitive=bool(head and head["kind"] == "case_sensitive"))
    if rows:
        return _found(stages, lets, stages.keep(f"{lets}\n{rows}"), where)
    named = head["tables"] if head else None
    tables = [t.strip() for t in named.split(",")] if named else _tables(stages.sources)
    found: dict[str, str] = {}
    missing: list[Exception] = []
    for table in tables:
        try:
            found[table] = _found(stages, lets, table, where)
        except (duckdb.Error, KqlError) as fault:
            missing.append(fault)  # a column of the predicate that this table lacks
    if not found:
        raise missing[0]
    with_rows = {name: kept for name, kept in found.items() if stages.count(kept)}
    parts = [
        f"SELECT {literal(name)} AS {TABLE}, * FROM {quoted(kept)}"
        for name, kept in (with_rows or dict([next(iter(found.items()))])).items()
    ]
    return stages.keep_sql(" UNION ALL BY NAME ".join(parts))


def _found(stages: Stages, lets: str, table: str, where: str) -> str:
    """Keep a table's rows for which the predicate holds."""
    described = stages.connection.execute(f"DESCRIBE {quoted(table)}").fetchall()
    texts = [quoted(name) for name, kind, *_ in described if kind in ("VARCHAR", "JSON")]
    # All of a row's text in one column: a predicate of hundreds of columns takes seconds to read.
    text = f"concat_ws(chr(10), {', '.join(texts)})" if texts else "''"
    source = stages.view(f"SELECT *, {text} AS {_TEXT} FROM {quoted(table)}")
    kept = stages.keep(f"{lets}\n{source} | where {where}")
    stages.connection.execute(f"ALTER TABLE {quoted(kept)} DROP COLUMN {_TEXT}")
    stages.schema[kept].remove(_TEXT)
    return kept


def _tables(sources: Sequence[str]) -> list[str]:
    """The tables; a parser's rows are theirs already."""
    return [name for name in sources if name.endswith("_CL")]


def _where(predicate: str, *, sensitive: bool) -> str:
    """The predicate in KQL: a string alone is looked for in all of a row's text."""
    found = tokens(predicate)
    made, last = "", 0
    for index, token in enumerate(found):
        before = found[index - 1] if index else Token("", "", 0)
        after = found[index + 1].text if index + 1 < len(found) else ""
        if (
            token.text == "*"
            and before.text in ("", "and", "or", "(")
            and after in ("", "and", ")")
        ):
            made += f"{predicate[last : token.start]}true"
        elif token.kind == "string" and before.text == ":":
            name = found[index - 2]
            made = f"{made[: len(made) - (last - name.start)] if last > name.start else made}"
            made += f"{predicate[last : name.start]}{_has(name.text, token, sensitive)}"
        elif token.kind == "string" and _stands_alone(before):
            made += predicate[last : token.start] + _has(_TEXT, token, sensitive)
        else:
            continue
        last = token.end
    return made + predicate[last:]


def _stands_alone(before: Token) -> bool:
    return before.text in ("", "and", "or", "not", "(") and before.text not in _COMPARISONS


def _has(column: str, token: Token, sensitive: bool) -> str:
    """Whether the column has a term; * at its ends and in it stands for any characters."""
    term, case = unquoted(token), "_cs" if sensitive else ""
    inner = term.strip("*")
    if "*" in inner:
        pattern = ".*".join(re.escape(part) for part in term.split("*"))
        flag = "" if sensitive else "(?i)"
        return f"{column} matches regex @'{flag}{pattern}'"
    operator = {
        (False, False): "has",
        (False, True): "hasprefix",
        (True, False): "hassuffix",
        (True, True): "contains",
    }[term.startswith("*"), term.endswith("*")]
    escaped = inner.replace("\\", "\\\\").replace("'", "\\'")
    return f"{column} {operator}{case} '{escaped}'"
