"""`python -m tools polls-cost`: what polling many consoles costs a month, with nothing new to read.

Ingestion of records comes on top: `python -m tools cost`. The processor time of a poll is measured
(docs/performance.md, point 11); its duration is four answers of 0.2 s each, and storage's. Prices
are placeholders of the order of list prices, to be replaced by those of your region and agreement.
Blob calls of a lease are billed as "other operations" of general purpose v2:
https://learn.microsoft.com/azure/storage/blobs/map-rest-apis-transaction-categories
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from tools.generated_files import between
from tools.project import ROOT

PAGE = ROOT / "docs" / "performance.md"
BEGIN = "<!-- polls: made by python -m tools cost-example -->"
END = "<!-- end of polls -->"
_HOURS = 730
# Of a poll: acquire, look, is it paused, begin, end, release; put, take and delete of its message;
# a read and a write of each stream's checkpoint.
_BLOB_CALLS = 6
_QUEUE_CALLS = 3
_TABLE_CALLS_A_STREAM = 2
# host.json's batchSize: Azure asks for an instance for each so many messages.
_BATCH_SIZE = 4


@dataclass(frozen=True, slots=True)
class Numbers:
    """Consoles, what a poll needs, and prices in the currency you like.

    ``seconds_a_poll`` is a poll's time beside ``at_a_time`` - 1 others, ``cpu_seconds_a_poll`` its
    processor time; sizes are of one poll. The free grants are a subscription's.
    """

    consoles: int = 150
    apps: int = 1
    streams: int = 4
    polls_an_hour: int = 12
    seconds_a_poll: float = 1.2
    cpu_seconds_a_poll: float = 0.06
    at_a_time: int = 4
    memory_gb: float = 2.0
    telemetry_kb_a_poll: float = 5.0
    health_kb_a_poll: float = 0.5
    free_gb_seconds: float = 100_000
    free_executions: float = 250_000
    price_gb_second: float = 0.000026
    price_million_executions: float = 0.4
    price_10k_blob_calls: float = 0.0044
    price_10k_queue_calls: float = 0.004
    price_10k_table_calls: float = 0.00036
    price_gb_telemetry: float = 2.3
    price_gb_ingested: float = 4.3


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the sum; ``cost`` is None for an amount that is not billed by itself."""

    what: str
    amount: str
    cost: float | None


def month(numbers: Numbers) -> list[Line]:
    """The lines of the sum, in the order of the table."""
    n = numbers
    ticks = n.polls_an_hour * _HOURS
    polls = n.consoles * ticks
    each = n.consoles / n.apps
    # An instance is billed while it runs anything: polls side by side share its time.
    seconds = polls * n.seconds_a_poll / n.at_a_time
    gb_seconds = seconds * n.memory_gb
    executions = polls + ticks * n.apps
    calls = {
        "blob": (polls * _BLOB_CALLS, n.price_10k_blob_calls),
        "queue": (polls * _QUEUE_CALLS, n.price_10k_queue_calls),
        "table": (polls * n.streams * _TABLE_CALLS_A_STREAM, n.price_10k_table_calls),
    }
    telemetry = polls * n.telemetry_kb_a_poll / 1e6
    health = polls * n.health_kb_a_poll / 1e6
    return [
        Line("polls", f"{polls:,}", None),
        Line("processor time", f"{polls * n.cpu_seconds_a_poll / 3600:,.0f} hours", None),
        Line(
            "one instance of each app is busy, of each tick",
            f"{each * n.seconds_a_poll / n.at_a_time:,.0f} of {3600 / n.polls_an_hour:,.0f} s",
            None,
        ),
        Line(
            "instances of each app that its queue asks for at a tick",
            f"{math.ceil(each / _BATCH_SIZE)}",
            None,
        ),
        Line(
            "instances' time beyond the free grant",
            f"{gb_seconds:,.0f} GB-s",
            max(gb_seconds - n.free_gb_seconds, 0.0) * n.price_gb_second,
        ),
        Line(
            "executions beyond the free grant",
            f"{executions:,}",
            max(executions - n.free_executions, 0.0) / 1e6 * n.price_million_executions,
        ),
        *(
            Line(f"{kind} calls", f"{count:,}", count / 1e4 * price)
            for kind, (count, price) in calls.items()
        ),
        Line("telemetry", f"{telemetry:,.1f} GB", telemetry * n.price_gb_telemetry),
        Line("health rows", f"{health:,.1f} GB", health * n.price_gb_ingested),
    ]


def total(numbers: Numbers) -> float:
    """The sum of what is billed."""
    return sum(line.cost or 0.0 for line in month(numbers))


def table(columns: Sequence[tuple[str, Numbers]]) -> str:
    """The sums beside each other, as Markdown."""
    titles = [title for title, _ in columns]
    months = [month(numbers) for _, numbers in columns]
    rows = [
        ["a month", *titles],
        ["---", *("---:" for _ in titles)],
        *([lines[0].what, *map(_cell, lines)] for lines in zip(*months, strict=True)),
        ["**together**", *(f"**{total(numbers):,.0f}**" for _, numbers in columns)],
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(line: Line) -> str:
    return line.amount if line.cost is None else f"{line.amount}: {line.cost:,.2f}"


def _described(numbers: Numbers) -> str:
    """The prices and measured numbers by their options' names."""
    told = ("streams", "seconds_a_poll", "cpu_seconds_a_poll", "telemetry_kb_a_poll")
    values = asdict(numbers)
    named = [name for name in values if name in told or name.startswith(("price_", "free_"))]
    return "Computed with " + ", ".join(f"`{name}` {values[name]:g}" for name in named) + "."


def page() -> str:
    """The page of performance with its example made again."""
    one, small = Numbers(), Numbers(memory_gb=0.5, at_a_time=2)
    columns = [
        ("150 consoles, one app of 2 GB", one),
        ("150, instances of 512 MB", small),
        ("1,500 in ten apps of 2 GB", replace(one, consoles=1_500, apps=10)),
    ]
    return between(PAGE, BEGIN, END, f"{table(columns)}\n\n{_described(one)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the sum for the numbers and prices that the options give."""
    parser = argparse.ArgumentParser(prog="polls-cost", description=__doc__)
    for field in fields(Numbers):
        kind: Any = int if isinstance(field.default, int) else float
        option = f"--{field.name.replace('_', '-')}"
        parser.add_argument(option, type=kind, default=field.default, help=f"({field.default:g})")
    given = vars(parser.parse_args(argv))
    if negative := [name for name, value in given.items() if value < 0]:
        parser.error(f"--{negative[0].replace('_', '-')} must not be negative")
    for name in ("apps", "at_a_time", "polls_an_hour"):
        if not given[name]:
            parser.error(f"--{name.replace('_', '-')} must be more than 0")
    print(table([("it costs", Numbers(**given))]))
    return 0
