"""``make-series``: aggregates as arrays over equal steps of an axis, a row a group.

https://learn.microsoft.com/kusto/query/make-series-operator
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.workspace.kql_errors import QueryError
from local.workspace.kql_tokens import Token, split, tokens
from local.workspace.typing_sql import quoted

if TYPE_CHECKING:
    from local.workspace.kql_stages import Stages

_BIN = "__sbin"
MOST_POINTS = 100_000


@dataclass(frozen=True, slots=True)
class _Series:
    """The parts of the operator, as text: ``aggregates`` with each one's default."""

    aggregates: tuple[tuple[str, str], ...]
    axis: str
    start: str
    end: str
    step: str
    by: str


def run(stages: Stages, lets: str, rows: str, text: str) -> str:
    """Keep a row a group: its columns, each aggregate's array, and the axis's."""
    series = _parsed(text)
    table = stages.keep(f"{lets}\n{rows}")
    axis, step = series.axis, f"({series.step})"
    first, last = series.start, series.end
    if not first or not last:
        ends = stages.keep(f"{lets}\n{table} | summarize a = min({axis}), b = max({axis})")
        first = first or f"toscalar({ends} | project bin(a, {step}))"
        last = last or f"(toscalar({ends} | project bin(b, {step})) + {step})"
    count = stages.scalar(lets, f"tolong(ceiling(todouble(({last} - {first}) / {step})))")
    if count is None or not 0 < count <= MOST_POINTS:
        raise QueryError(f"make-series would have {count or 0:,} points a series")
    window = f"where {axis} >= {first} and {axis} < {last}"
    place = f"extend {_BIN} = tolong(floor(todouble(({axis} - {first}) / {step}), 1))"
    aggregates = ", ".join(aggregate for aggregate, _ in series.aggregates)
    by = f", {series.by}" if series.by else ""
    bins = stages.keep(
        f"{lets}\n{table} | {window} | {place} | summarize {aggregates} by {_BIN}{by}"
    )
    points = stages.keep(
        f"{lets}\nrange {_BIN} from 0 to {count - 1} step 1 "
        f"| extend point = {first} + {_BIN} * {step}"
    )
    columns = [name for name in stages.schema[bins] if name != _BIN]
    values = columns[-len(series.aggregates) :]
    groups = columns[: -len(series.aggregates)]
    defaults = {
        name: default or "0" for name, (_, default) in zip(values, series.aggregates, strict=True)
    }
    return stages.keep_sql(_arrays(bins, points, groups, defaults, axis))


def _arrays(bins: str, points: str, groups: list[str], defaults: dict[str, str], axis: str) -> str:
    """SQL: every group by every point, joined with the bins that have rows."""
    by = ", ".join(f"g.{quoted(name)}" for name in groups)
    same = " AND ".join(
        [f"b.{_BIN} = p.{_BIN}"]
        + [f"b.{quoted(name)} IS NOT DISTINCT FROM g.{quoted(name)}" for name in groups]
    )
    distinct = ", ".join(map(quoted, groups))
    groups_sql = f"(SELECT DISTINCT {distinct} FROM {quoted(bins)})" if groups else "(SELECT 1)"
    # A default of another type than the aggregate's would make one of both fail.
    filled = [
        f"to_json(list(coalesce(b.{quoted(name)}, {_default(default)}) ORDER BY p.{_BIN}))"
        f" AS {quoted(name)}"
        for name, default in defaults.items()
    ]
    moment = (
        "CASE WHEN typeof(p.point) LIKE 'TIMESTAMP%' "
        "THEN to_json(strftime(p.point::TIMESTAMP, '%Y-%m-%dT%H:%M:%S.%fZ')) "
        "ELSE to_json(p.point) END"
    )
    axis = axis if axis.isidentifier() else "axis"
    selected = ", ".join(
        [
            *([by] if by else []),
            *filled,
            f"to_json(list({moment} ORDER BY p.{_BIN})) AS {quoted(axis)}",
        ]
    )
    grouped = f" GROUP BY {by} ORDER BY {by}" if by else ""
    return (
        f"SELECT {selected} FROM {groups_sql} AS g CROSS JOIN {quoted(points)} AS p "
        f"LEFT JOIN {quoted(bins)} AS b ON {same}{grouped}"
    )


def _default(text: str) -> str:
    if re.fullmatch(r"\w+\(null\)", text):
        return "NULL"
    try:
        return repr(float(text)) if "." in text else str(int(text))
    except ValueError:
        raise QueryError(f"make-series takes a number as its default, not {text}") from None


def _parsed(text: str) -> _Series:
    words = _words(text)
    on = _find(words, "on")
    if on is None:
        raise QueryError(
            "make-series needs on and a column: make-series count() on TimeGenerated step 1h"
        )
    keys = {name: _find(words, name) for name in ("from", "to", "step", "in", "by")}
    if keys["in"] is not None or keys["step"] is None:
        raise QueryError("make-series needs step and its length here: … on TimeGenerated step 1h")
    marks = sorted(t.start for t in keys.values() if t is not None)

    def part(token: Token | None) -> str:
        if token is None:
            return ""
        end = next((mark for mark in marks if mark > token.start), len(text))
        return text[token.end : end].strip().rstrip(",")

    aggregates = []
    for each in split([token for token in tokens(text) if token.end <= on.start]):
        aggregate = text[each[0].start : each[-1].end]
        found = re.fullmatch(r"(.*?)\s+default\s*=\s*(\S+)", aggregate, re.DOTALL)
        aggregates.append((found[1], found[2]) if found else (aggregate, ""))
    end_of_axis = next((mark for mark in marks if mark > on.start), len(text))
    return _Series(
        tuple(aggregates),
        text[on.end : end_of_axis].strip(),
        _bracketed(part(keys["from"])),
        _bracketed(part(keys["to"])),
        part(keys["step"]),
        part(keys["by"]),
    )


def _bracketed(text: str) -> str:
    return f"({text})" if text else ""


def _words(text: str) -> list[Token]:
    """The tokens that are in no bracket."""
    depth, outer = 0, []
    for token in tokens(text):
        depth += token.nesting
        if depth == 0:
            outer.append(token)
    return outer


def _find(words: list[Token], name: str) -> Token | None:
    return next((token for token in words if token.kind == "name" and token.text == name), None)
