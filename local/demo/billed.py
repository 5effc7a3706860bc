"""`python -m tools billed`: what the demo's week would be billed, for each choice of what to store.

Azure Monitor bills the columns that it stores, each by the size of its value as text.
https://learn.microsoft.com/azure/azure-monitor/logs/cost-logs#data-size-calculation
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local.demo.week import arrivals
from local.vendors.traffic import WEEK, Period
from local.workspace.workspace import Workspace
from tools.check_filter import faults, stream_named
from tools.content import SENTINEL, StreamDecl, Table, load_tables, load_yaml
from tools.template.transforms import with_choices

END = datetime(2026, 11, 21, tzinfo=UTC)
_FILTERS: Mapping[str, str] = load_yaml(SENTINEL / "filters" / "example.yaml")


@dataclass(frozen=True, slots=True)
class Choice:
    """What to store; ``name`` is how docs/deploy.md calls it."""

    name: str
    activity_data: str = "both"
    filters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Billed:
    """Rows and bytes of a table, or of one stream's rows in it."""

    rows: int
    size: int


CHOICES = (
    Choice("everything (the default)"),
    Choice("`activityData=columns`", "columns"),
    Choice("`activityData=json`", "json"),
    Choice("with these `filters`", "both", _FILTERS),
    Choice("these `filters` and `activityData=columns`", "columns", _FILTERS),
)


class Measured:
    """A week's records, and what each stream of it is billed by the transform that it passes."""

    def __init__(self, end: datetime, size: float = 1.0) -> None:
        self._end = end
        self._sent: dict[str, list[dict[str, Any]]] = {}
        self._known: dict[tuple[str, str], Billed] = {}
        for by_stream in arrivals(Period(end - WEEK, end, size)).values():
            for stream, records in by_stream.items():
                self._sent.setdefault(stream, []).extend(records)

    def by_stream(self, choice: Choice) -> Mapping[str, Billed]:
        """What the week is billed with this choice."""
        found = {}
        for table in load_tables():
            for stream in table.streams.values():
                transform = with_choices(
                    table,
                    stream,
                    activity_data=choice.activity_data,
                    predicate=choice.filters.get(stream.name, ""),
                )
                if (stream.name, transform) not in self._known:
                    billed = self._measure(table, dataclasses.replace(stream, transform=transform))
                    self._known[stream.name, transform] = billed
                found[stream.name] = self._known[stream.name, transform]
        return found

    def _measure(self, table: Table, stream: StreamDecl) -> Billed:
        alone = dataclasses.replace(table, streams={stream.name: stream})
        workspace = Workspace(None, now=lambda: self._end, tables=[alone])
        try:
            workspace.ingest(stream.name, self._sent.get(stream.name, []))
            rows = workspace.query(table.name).dicts()
        finally:
            workspace.close()
        return Billed(len(rows), sum(map(_size, rows)))


def _size(row: Mapping[str, Any]) -> int:
    # Every table of a workspace has these, and they are not billed.
    free = {"Type", "_ResourceId", "_SubscriptionId", "_ItemId", "_IsBillable", "_BilledSize"}
    return sum(len(_text(value)) for name, value in row.items() if name not in free)


def _text(value: Any) -> bytes:
    if value is None:
        return b""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S.%fZ}".encode()
    return json.dumps(value, default=str, separators=(",", ":")).encode()


def report(measured: Measured, choices: Sequence[Choice]) -> str:
    """The choices side by side, as the table of docs/deploy.md."""
    found = {choice.name: measured.by_stream(choice) for choice in choices}
    whole = _total(found[choices[0].name])
    names = " | ".join(stream.removeprefix("Custom-") for stream in _FILTERS)
    lines = [f"| choice | {names} | all | of the default |", "|---" + "|--:" * 4 + "|"]
    for name, billed in found.items():
        shown = [billed[stream].size for stream in _FILTERS]
        cells = [*map(_megabytes, [*shown, _total(billed)]), f"{_total(billed) / whole:.0%}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _total(billed: Mapping[str, Billed]) -> int:
    return sum(each.size for each in billed.values())


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 for a filter that Azure would refuse."""
    parser = argparse.ArgumentParser(prog="python3 -m tools billed", description=__doc__)
    parser.add_argument("--filters", type=json.loads, default={}, help="yours, as the parameter")
    parser.add_argument("--size", type=float, default=1.0, help="of the week (1)")
    options = parser.parse_args(argv)
    for name, predicate in options.filters.items():
        if found := faults(stream_named(name), predicate):
            print(f"{name}: {'; '.join(found)}", file=sys.stderr)
            return 1
    choices = [*CHOICES]
    if options.filters:
        choices.append(Choice("yours", "both", options.filters))
    print(report(Measured(END, options.size), choices))
    return 0
