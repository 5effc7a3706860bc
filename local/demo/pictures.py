"""`python -m tools workbook-pictures`: each page of the workbook, drawn with the demo's data.

The panels are those of the document that the template deploys; they are drawn here with HTML and
SVG, and photographed by Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from local.demo.panels import EMPTY_HERE, Panel, filled_week, panels
from tools import workbook
from tools.project import ROOT

_FOLDER = ROOT / "docs" / "screenshots"
# Pixels. Every panel of a kind is as high as the others, so that a page's height is known.
_WIDTH, _HEAD, _GAP = 1200, 92, 14
_HEIGHTS = {"tiles": 130, "timechart": 236, "barchart": 236, "table": 236}
_ROWS, _COLUMNS, _BARS, _SERIES = 6, 8, 6, 6
_COLOURS = ("#2563eb", "#db2777", "#059669", "#d97706", "#7c3aed", "#475569")

_TEMPLATE = Path(__file__).with_name("workbook_page.html.j2")


def main(argv: Sequence[str] | None = None) -> int:
    """Write docs/screenshots/workbook-<page>.png for each page; 1 where there is no Chromium."""
    parser = argparse.ArgumentParser(prog="python3 -m tools workbook-pictures", description=__doc__)
    parser.add_argument("--size", type=float, default=0.3, help="of the demo's week (0.3)")
    arguments = parser.parse_args(argv)
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("There is no Chromium: install it first.", file=sys.stderr)
        return 1
    # A time of its own, so that the same data make the same pictures.
    week = filled_week(datetime(2026, 11, 20, 12, 0, tzinfo=UTC), arguments.size)
    try:
        found = list(panels(week.workspace))
    finally:
        week.workspace.close()
    for name in workbook.metadata()["pages"]:
        shown = [panel for panel in found if panel.page == name]
        picture = _FOLDER / f"workbook-{name.lower()}.png"
        _photograph(browser, *page(name, shown), picture)
        print(f"{picture.name}: {picture.stat().st_size // 1000} kB")
    return 0


def page(name: str, shown: Sequence[Panel]) -> tuple[str, int]:
    """A page as HTML, and its height in pixels."""
    labels = {each: workbook.page(each)["label"] for each in workbook.metadata()["pages"]}
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    html = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        name=workbook.metadata()["name"],
        tabs=labels.values(),
        label=labels[name],
        drawn=[_drawn(panel) for panel in shown],
        width=_WIDTH,
        gap=_GAP,
    )
    return html, _height(shown)


def _height(shown: Sequence[Panel]) -> int:
    """The header's height and that of each row of panels."""
    height, used = _HEAD + _GAP, 100
    for panel in shown:
        if used + panel.width > 100:
            height, used = height + _HEIGHTS[panel.shown_as] + _GAP, 0
        used += panel.width
    return height + _GAP


def _drawn(panel: Panel) -> dict[str, Any]:
    width = int((_WIDTH - 40) * panel.width / 100) - (_GAP if panel.width < 100 else 0)
    drawn: dict[str, Any] = {
        "title": panel.title,
        "kind": panel.shown_as,
        "width": width,
        "height": _HEIGHTS[panel.shown_as],
        "room": width - 290,
        "why": ""
        if panel.rows.rows
        else EMPTY_HERE.get(panel.title, "Nothing in this time range."),
    }
    if drawn["why"]:
        return drawn
    if panel.shown_as == "tiles":
        return drawn | {"cells": [(row["Name"], row["Count"]) for row in panel.rows.dicts()]}
    if panel.shown_as == "table":
        names = [name for name, _ in panel.rows.columns][:_COLUMNS]
        cells = [[_text(value) for value in row[:_COLUMNS]] for row in panel.rows.rows[:_ROWS]]
        return drawn | {"names": names, "cells": cells}
    if panel.shown_as == "barchart":
        return drawn | {"cells": _bars(panel)}
    return drawn | _lines(panel, drawn["room"] + 200)


def _bars(panel: Panel) -> list[tuple[str, str, float]]:
    rows = panel.rows.rows[:_BARS]
    most = max(float(row[-1]) for row in rows) or 1.0
    return [(_text(row[0])[:26], _text(row[-1]), float(row[-1]) / most) for row in rows]


def _lines(panel: Panel, room: int) -> dict[str, Any]:
    """A line for each value of the text column, or for each column of numbers."""
    kinds = panel.rows.columns
    time = next(index for index, (_, kind) in enumerate(kinds) if kind == "datetime")
    texts = [index for index, (_, kind) in enumerate(kinds) if kind == "string"]
    numbers = [index for index, (_, kind) in enumerate(kinds) if kind in ("long", "real", "int")]
    series: dict[str, list[tuple[datetime, float]]] = defaultdict(list)
    for row in panel.rows.rows:
        for index in numbers:
            name = _text(row[texts[0]]) if texts else kinds[index][0]
            series[name].append((row[time], float(row[index] or 0)))
    named = sorted(series.items(), key=lambda each: -sum(value for _, value in each[1]))[:_SERIES]
    moments = [moment for _, points in named for moment, _ in points]
    start, span = min(moments), max((max(moments) - min(moments)).total_seconds(), 1.0)
    most = max(value for _, points in named for _, value in points) or 1.0
    lines = [
        (
            _COLOURS[number],
            " ".join(
                f"{(moment - start).total_seconds() / span * room:.0f},"
                f"{158 - value / most * 150:.0f}"
                for moment, value in sorted(points)
            ),
        )
        for number, (_, points) in enumerate(named)
    ]
    return {"lines": lines, "key": [(_COLOURS[n], name) for n, (name, _) in enumerate(named)]}


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value:g}" if isinstance(value, float) else str("" if value is None else value)


def _photograph(browser: str, html: str, height: int, picture: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder, "page.html")
        document.write_text(html, encoding="utf-8")
        subprocess.run(
            [
                *(browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *("--disable-dev-shm-usage", f"--user-data-dir={folder}/profile"),
                *(f"--window-size={_WIDTH},{height}", f"--screenshot={picture}"),
                document.as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
