"""A query's result as text: a table, rows turned upright, or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from local.workspace.kql_engine import Rows
from shared.records.timestamps import isoformat

_WIDEST_CELL = 80
_WIDEST_UPRIGHT = 2_000
_FEW_COLUMNS = 20
_NUMBERS = ("int", "long", "real", "decimal", "timespan")


def as_json(rows: Rows) -> str:
    """An array of objects; times as ISO-8601 in UTC, time spans in seconds."""
    return json.dumps(rows.dicts(), ensure_ascii=False, indent=1, default=_plain)


def as_table(rows: Rows, width: int = 0) -> str:
    """Aligned columns under their names, numbers to the right; the number of rows below.

    A table with many columns leaves out those that are empty in every row. One that is wider than
    ``width`` characters is turned upright; 0 is any width.
    """
    cells = [[_cell(value) for value in row] for row in rows.rows]
    shown = [
        index
        for index in range(len(rows.columns))
        if len(rows.columns) <= _FEW_COLUMNS or any(row[index] for row in cells)
    ]
    names = [rows.columns[index][0] for index in shown]
    right = [rows.columns[index][1] in _NUMBERS for index in shown]
    cells = [[row[index] for index in shown] for row in cells]
    widths = [
        max([len(name), *(len(row[index]) for row in cells)]) for index, name in enumerate(names)
    ]
    if width and cells and sum(widths) + 2 * len(widths) - 2 > width:
        return _upright(rows, names)
    lines = [names, ["─" * each for each in widths], *cells]
    count = _rows(len(cells))
    if left_out := len(rows.columns) - len(shown):
        count += f"; {left_out} empty columns are not shown"
    return "\n".join([*(_aligned(line, widths, right) for line in lines), count])


def _upright(rows: Rows, names: Sequence[str]) -> str:
    """A line a value, without empty ones; values whole."""
    widest = max(map(len, names))
    lines: list[str] = []
    for number, row in enumerate(rows.rows, 1):
        lines.append(f"── row {number} " + "─" * widest)
        for (name, _), value in zip(rows.columns, row, strict=True):
            if text := _cell(value, _WIDEST_UPRIGHT):
                lines.append(f"{name:<{widest}}  {text}")
    return "\n".join([*lines, _rows(len(rows.rows))])


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _aligned(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _cell(value: Any, widest: int = _WIDEST_CELL) -> str:
    if isinstance(value, float) and value.is_integer():
        text = str(int(value))
    elif isinstance(value, datetime):
        text = isoformat(value)
    elif isinstance(value, dict | list):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    else:
        text = "" if value is None else str(value)
    # A control character would break the table's lines, or move the terminal's cursor.
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= widest else text[: widest - 1] + "…"


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return isoformat(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)
