"""`render` in the terminal: lines over time, and bars."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local.workspace.kql_engine import Rows
from local.workspace.kql_pipeline import operators

_LINES = frozenset({"timechart", "linechart", "areachart", "scatterchart", "stackedareachart"})
_BARS = frozenset({"barchart", "columnchart", "piechart"})
_NUMBERS = frozenset({"int", "long", "real", "decimal"})
_MARKERS = ("•", "x", "+", "o", "*", "#", "%", "=")
MOST_BARS = 40
MOST_SERIES = len(_MARKERS)
HEIGHT = 18
TICKS = 5

Series = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Drawing:
    """The kind of chart that a query asks for, and its title."""

    kind: str
    title: str = ""


def rendered(kql: str) -> Drawing | None:
    """The chart that the query's last operator asks for; None where it asks for none."""
    outer = [operator for operator in operators(kql) if operator.depth == 0]
    if not outer or outer[-1].name != "render":
        return None
    words = kql[outer[-1].start : outer[-1].end].split()
    title = re.search(r"""title\s*=\s*(["'])(.*?)\1""", kql[outer[-1].start :])
    return Drawing(words[1] if len(words) > 1 else "table", title[2] if title else "")


def chart(rows: Rows, drawing: Drawing, width: int) -> str | None:
    """The chart as text, no wider than ``width``; None where it is a table, or has no numbers."""
    if not rows.rows:
        return None
    if drawing.kind in _LINES:
        found, of_time = _series(rows)
        return _lines(found, of_time, drawing.title, width) if found else None
    if drawing.kind in _BARS:
        return _bars(rows, drawing.title, width)
    return None


def _series(rows: Rows) -> tuple[Series, bool]:
    """Points by series, and whether the axis is of time.

    The axis is the first column with times, else the first with numbers; the texts of a row name
    its series, and each further column with numbers is one. Arrays, as of make-series, are points.
    """
    dicts = rows.dicts()
    kinds = {name: _kind(kind, dicts[0][name]) for name, kind in rows.columns}
    axis = next((n for n, k in kinds.items() if k == "datetime"), None)
    axis = axis or next((n for n, k in kinds.items() if k == "number"), None)
    values = [name for name, kind in kinds.items() if kind == "number" and name != axis]
    names = [name for name, kind in kinds.items() if kind == "text"]
    found: Series = {}
    for row, value in itertools.product(dicts, values):
        label = " ".join(
            [*(str(row[name]) for name in names), *([value] if len(values) > 1 else [])]
        )
        points = found.setdefault(label or value, [])
        pairs = zip(_listed(row[axis]), _listed(row[value]), strict=False) if axis else ()
        points += [(_number(x), float(y)) for x, y in pairs if x is not None and y is not None]
    return found, axis is not None and kinds[axis] == "datetime"


def _kind(kind: str, value: Any) -> str:
    """datetime, number, text or another; of an array that of its first element."""
    if isinstance(value, list) and value:
        first = value[0]
        if isinstance(first, int | float):
            return "number"
        return "datetime" if isinstance(first, str) and _time(first) else "other"
    if kind == "datetime":
        return kind
    return "number" if kind in _NUMBERS else "text" if kind in ("string", "bool") else "other"


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _number(value: Any) -> float:
    if isinstance(value, str):
        value = _time(value) or 0
    return value.timestamp() if isinstance(value, datetime) else float(value)


def _lines(found: Series, of_time: bool, title: str, width: int) -> str:
    import plotext

    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(width, HEIGHT)
    figure.title(title or None)
    largest = sorted(found, key=lambda name: -sum(y for _, y in found[name]))[:MOST_SERIES]
    for name, marker in zip(largest, _MARKERS, strict=False):
        points = sorted(found[name])
        signal = figure.signal([x for x, _ in points], [y for _, y in points], marker=marker)
        signal.lines(len(points) > 1)
        figure.draw(signal)
    xs = [x for name in largest for x, _ in found[name]]
    ys = [y for name in largest for _, y in found[name]]
    marks = _ticks(min(xs), max(xs))
    span = max(xs) - min(xs)
    figure.ruler("x").lim(min(xs), max(xs) if span else min(xs) + 1)
    figure.ruler("x").ticks(marks, [_moment(x, span) if of_time else f"{x:,g}" for x in marks])
    heights = _ticks(min(*ys, 0), max(ys))
    figure.ruler("y").ticks(heights, [f"{y:,.4g}" for y in heights])
    legend = "   ".join(f"{mark} {name}" for name, mark in zip(largest, _MARKERS, strict=False))
    left_out = len(found) - len(largest)
    more = f"   ({left_out} smaller ones are not drawn)" if left_out else ""
    return "\n".join([str(figure.build().string(colorless=True)).rstrip(), legend + more])


def _ticks(low: float, high: float) -> list[float]:
    """Marks from low to high; whole numbers where there are enough of them."""
    if low == high:
        return [low]
    if float(low).is_integer() and float(high).is_integer() and high - low >= TICKS:
        return [float(round(low + (high - low) * step / (TICKS - 1))) for step in range(TICKS)]
    return [low + (high - low) * step / (TICKS - 1) for step in range(TICKS)]


def _moment(seconds: float, span: float) -> str:
    form = "%H:%M" if span < 86_400 else "%m-%d %H:%M" if span < 14 * 86_400 else "%Y-%m-%d"
    return datetime.fromtimestamp(seconds, UTC).strftime(form)


def _bars(rows: Rows, title: str, width: int) -> str | None:
    dicts = rows.dicts()[:MOST_BARS]
    value = next((name for name, kind in rows.columns if kind in _NUMBERS), None)
    if value is None:
        return None
    heads = [name for name, kind in rows.columns if kind not in _NUMBERS] or [value]
    bars = {
        " ".join(_label(row[name]) for name in heads) + f" {row[value] or 0:,.6g}": row[value] or 0
        for row in dicts
    }
    more = len(rows.rows) - len(dicts)
    drawn = _drawn_bars(bars, title, width)
    return f"{drawn}\n{more} more rows are not drawn" if more else drawn


def _label(value: Any) -> str:
    text = _moment(value.timestamp(), 86_400) if isinstance(value, datetime) else str(value)
    return text if len(text) <= 40 else text[:39] + "…"


def _drawn_bars(bars: Mapping[str, float], title: str, width: int) -> str:
    import plotext

    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(width, len(bars) + (4 if title else 3))
    figure.title(title or None)
    # The first row is to be the topmost bar.
    names = list(bars)[::-1]
    figure.draw(
        figure.bar(
            names, [bars[name] for name in names], orientation="horizontal", marker="█", width=0.2
        )
    )
    marks = _ticks(min(*bars.values(), 0), max(bars.values()))
    figure.ruler("x").ticks(marks, [f"{mark:,.4g}" for mark in marks])
    return str(figure.build().string(colorless=True))
