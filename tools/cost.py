"""`python -m tools cost`: a worked example of a month's cost, with volumes and prices as options.

What a run costs is measured (docs/performance.md); prices are placeholders of the order of list
prices, to be replaced by those of your region and agreement.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tools import polls_cost
from tools.generated_files import between, write_or_check
from tools.project import ROOT

PAGE = ROOT / "docs" / "compare.md"
BEGIN = "<!-- cost: made by python -m tools cost-example -->"
END = "<!-- end of cost -->"
_HOURS = 730
_RUNS_AN_HOUR = 12


@dataclass(frozen=True, slots=True)
class Numbers:
    """Volumes of a month, what the app needs for them, and prices in the currency you like."""

    consoles: int = 1
    sites: int = 1
    agents: int = 5_000
    activities_a_day: int = 50_000
    posted_events_a_day: int = 100_000
    audit_records_a_day: int = 1_000
    inventory_minutes: int = 60
    changed_agents_a_look: float = 0.2
    memory_gb: float = 2.0
    seconds_a_poll: float = 2.0
    events_a_post: int = 10
    seconds_a_post: float = 1.0
    telemetry_kb_a_run: float = 5.0
    free_gb_seconds: float = 100_000
    free_executions: float = 250_000
    price_gb_ingested: float = 4.3
    price_gb_second: float = 0.000026
    price_million_executions: float = 0.4
    price_10k_storage_operations: float = 0.0004
    price_gb_telemetry: float = 2.3


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the sum: what it is, how much of it, and what it costs a month."""

    what: str
    amount: str
    cost: float


def month(numbers: Numbers) -> list[Line]:
    """The lines of the sum, the largest part usually first."""
    looks = 60 / numbers.inventory_minutes * _HOURS
    agents = numbers.agents * numbers.changed_agents_a_look * looks
    gigabytes = {
        "activities and threats (1.6 KB a row)": numbers.activities_a_day * 30 * 1.6e-6,
        "agents that report between two looks (2.5 KB)": agents * 2.5e-6,
        "events posted to the webhook (0.9 KB)": numbers.posted_events_a_day * 30 * 0.9e-6,
        "audit records (0.8 KB)": numbers.audit_records_a_day * 30 * 0.8e-6,
    }
    lines = [
        Line(f"ingestion: {name}", f"{size:,.1f} GB", size * numbers.price_gb_ingested)
        for name, size in gigabytes.items()
    ]
    polls = (numbers.consoles + numbers.sites) * _RUNS_AN_HOUR * _HOURS
    posts = numbers.posted_events_a_day * 30 / numbers.events_a_post
    seconds = polls * numbers.seconds_a_poll + posts * numbers.seconds_a_post
    runs = polls + posts
    gb_seconds = seconds * numbers.memory_gb
    billed_seconds = max(gb_seconds - numbers.free_gb_seconds, 0.0)
    billed_runs = max(runs - numbers.free_executions, 0.0)
    lines += [
        Line(
            "function app: time beyond the free grant",
            f"{billed_seconds:,.0f} of {gb_seconds:,.0f} GB-s",
            billed_seconds * numbers.price_gb_second,
        ),
        Line(
            "function app: executions beyond the free grant",
            f"{billed_runs:,.0f} of {runs:,.0f}",
            billed_runs / 1e6 * numbers.price_million_executions,
        ),
        Line(
            "storage operations (10 a stream and run, 4 a post)",
            f"{polls * 40 + posts * 4:,.0f}",
            (polls * 40 + posts * 4) / 1e4 * numbers.price_10k_storage_operations,
        ),
        Line(
            "telemetry of runs and posts",
            f"{runs * numbers.telemetry_kb_a_run / 1e6:,.1f} GB",
            runs * numbers.telemetry_kb_a_run / 1e6 * numbers.price_gb_telemetry,
        ),
    ]
    return lines


def table(numbers: Numbers) -> str:
    """The sum as Markdown."""
    lines = month(numbers)
    rows = ["| what | a month | cost |", "|---|---:|---:|"]
    rows += [f"| {line.what} | {line.amount} | {line.cost:,.2f} |" for line in lines]
    rows.append(f"| **together** | | **{sum(line.cost for line in lines):,.2f}** |")
    return "\n".join(rows)


def _described(numbers: Numbers) -> str:
    return (
        f"{numbers.consoles} console with {numbers.agents:,} agents and "
        f"{numbers.activities_a_day:,} activities a day, {numbers.posted_events_a_day:,} events "
        f"posted and {numbers.audit_records_a_day:,} audit records a day, at "
        f"{numbers.price_gb_ingested:g} a GB ingested and {numbers.price_gb_second:g} a GB-second:"
    )


def page() -> str:
    """The page with its example made again."""
    numbers = Numbers()
    return between(PAGE, BEGIN, END, f"{_described(numbers)}\n\n{table(numbers)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the sum for the volumes and prices that the options give."""
    parser = argparse.ArgumentParser(prog="python3 -m tools cost", description=__doc__)
    for field in fields(Numbers):
        kind: Any = int if isinstance(field.default, int) else float
        option = f"--{field.name.replace('_', '-')}"
        parser.add_argument(option, type=kind, default=field.default, help=f"({field.default:g})")
    given = vars(parser.parse_args(argv))
    if negative := [name for name, value in given.items() if value < 0]:
        parser.error(f"--{negative[0].replace('_', '-')} must not be negative")
    if not given["inventory_minutes"] or not given["events_a_post"]:
        parser.error("--inventory-minutes and --events-a-post must be more than 0")
    print(table(Numbers(**given)))
    return 0


def example(argv: Sequence[str]) -> int:
    """Renew the examples in the docs, or check them; see ``write_or_check``."""
    about = "Write the examples of a month's cost."

    def pages() -> Mapping[Path, str]:
        return {PAGE: page(), polls_cost.PAGE: polls_cost.page()}

    return write_or_check("cost-example", about, pages, argv)
