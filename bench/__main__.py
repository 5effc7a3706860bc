"""`python -m tools bench [--quick] [--only 4,5]`: a table, printed and in docs/performance.md."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import changes, connections, load, measures, outage
from bench.measures import QUICK, BenchmarkInvalid, Row, Sizes
from bench.world import LATENCY, WorkerFailed, World, world
from tools.generated_files import between
from tools.project import ROOT

PAGE = ROOT / "docs" / "performance.md"
_BEGIN, _END = "<!-- make bench writes from here -->", "<!-- to here -->"
_BUSY = 0.2


def main(arguments: list[str] | None = None) -> int:
    """Return 1 where a full run missed a requirement; raise where a record was lost."""
    parser = argparse.ArgumentParser(prog="python3 -m tools bench")
    parser.add_argument("--quick", action="store_true", help="small sizes: right, not telling")
    parser.add_argument(
        "--only", default="1,2,3,4,5,6,8,9,10,11", help="points, like 1,4 (7 is with 1)"
    )
    parser.add_argument("--write", type=Path, default=PAGE, metavar="FILE")
    options = parser.parse_args(arguments)
    sizes = QUICK if options.quick else Sizes()
    try:
        with world() as servers:
            began, others = time.perf_counter(), -servers.cpu_of_others()
            rows, bounds = run(servers, sizes, set(options.only.split(",")))
            others = (others + servers.cpu_of_others()) / (time.perf_counter() - began)
    except (BenchmarkInvalid, WorkerFailed) as error:
        print(f"No result: {error}", file=sys.stderr)
        return 2
    lines = [describe_machine(others), *not_measured(), "", *table(rows), *bounds]
    print("\n".join(lines))
    if not options.quick and options.only == parser.get_default("only"):
        write(options.write, lines)
    missed = any(row.holds is False for row in rows)
    return 1 if missed and not options.quick else 0


def run(servers: World, sizes: Sizes, points: set[str]) -> tuple[list[Row], list[str]]:
    """Measure the points; return their rows, and the bounds of a backlog's speed."""
    rows: list[Row] = []
    bounds: list[str] = []
    polled: dict[str, Any] = {}
    if "1" in points:
        print_progress("a backlog, both ways")
        found, polled = measures.backlog(servers, sizes)
        rows += found
    if "2" in points:
        print_progress("packing and compression")
        found, packed = measures.packing(servers, sizes)
        rows += found
        if polled:
            bounds = speed_bounds(packed, polled, sizes)
    simple: dict[str, tuple[str, Callable[[World, Sizes], list[Row]]]] = {
        "3": ("three sizes of backlog", measures.growth),
        "4": ("the webhook", measures.webhook),
        "5": ("an idle poll and a cold start", measures.idle),
        "6": ("a backlog after a vendor's update", changes.changed_records),
        "8": ("one stream behind, nine idle", changes.one_behind),
        "9": ("the webhook under load and through an outage", load.under_load),
        "10": ("the spool, during an outage and after it", outage.spooled),
        "11": ("many connections", connections.many),
    }
    for point, (name, measure) in simple.items():
        if point in points:
            print_progress(name)
            rows += measure(servers, sizes)
    return sorted(rows, key=lambda row: int(row.point)), bounds


def print_progress(name: str) -> None:
    """Print the current measurement; a full run takes some eight minutes."""
    print(f"measuring {name} ...", file=sys.stderr, flush=True)


def speed_bounds(packed: dict[str, Any], polled: dict[str, Any], sizes: Sizes) -> list[str]:
    """Each stage's speed alone, and where a backlog's time goes."""
    ours, plain = polled["ours"], polled["straightforward"]
    used = ours["cpu"] / ours["seconds"]
    servers = (ours["vendor_cpu"] + ours["monitor_cpu"]) / ours["seconds"]
    return [
        "",
        "| stage of a backlog, alone on one core | MB/s | share of the run's processor time |",
        "|---|---:|---:|",
        *measures.bounds(packed, polled, sizes.backlog),
        "",
        f"A run used {used:.2f} cores, the servers beside it {servers:.2f}. It read "
        f"{ours['asked'] / ours['seconds']:.0f} pages/s from the vendor and sent "
        f"{ours['received']['requests'] / ours['seconds']:.0f} batches/s, "
        f"{polled['speed']:.1f} MB/s, {polled['speed'] / 33:.0%} of one rule's 33 MB/s; "
        f"the straightforward way used {plain['cpu'] / plain['seconds']:.2f} cores.",
    ]


def describe_machine(others: float) -> str:
    """The machine's size, and the cores that other work took meanwhile."""
    cores = os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{cores} cores, {memory:.0f} GB, {platform.system()} {platform.machine()}, Python "
        f"{platform.python_version()}; {LATENCY * 1000:.0f} ms on each request. Work that has "
        f"nothing to do with this took {max(others, 0.0):.1f} cores meanwhile"
        + (": a quiet machine shows more." if others > _BUSY else ".")
    )


def not_measured() -> list[str]:
    """What this machine does not let the benchmarks see, a line each."""
    lines = []
    if (os.cpu_count() or 1) < 2:
        lines.append("Not measured: what a second core adds; the servers share the one.")
    if not Path("/proc/self/status").exists():
        lines.append("Not measured: the servers' and other work's processor time, a worker's own")
        lines[-1] += " peak of memory (its parent's may be in it); only Linux tells."
    return lines


def table(rows: list[Row]) -> list[str]:
    """The rows as a Markdown table, for the page and the terminal."""
    verdict = {True: "yes", False: "**no**", None: ""}
    return [
        "| | what | must be | is | holds |",
        "|---|---|---|---|---|",
        *(
            f"| {row.point} | {row.what} | {row.required} | {row.measured} | {verdict[row.holds]} |"
            for row in rows
        ),
    ]


def write(page: Path, lines: list[str]) -> None:
    """Put ``lines`` between the page's two marks."""
    page.write_text(between(page, _BEGIN, _END, "\n".join(lines)), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
