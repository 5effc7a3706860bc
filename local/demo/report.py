"""The demo's last words: the table of what arrived, and what it means."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.demo.reconcile import StreamResult, as_table
from local.vendors.registry import vendors
from local.world import FOLDER
from shared.telemetry.humanize import many

# Of the week alone: an application's day of installation may be years ago.
CHART = (
    "where EventTime > ago(8d) | summarize count() by bin(EventTime, 12h), EventType "
    "| render timechart"
)


@dataclass(frozen=True, slots=True)
class Repeats:
    """Rows that stood twice before this run, by stream; whether something explains new ones.

    ``after_kill``: the last run was killed; ``operated``: a person had a stream sent again.
    """

    known: Mapping[str, int]
    after_kill: bool
    operated: bool

    @property
    def explained(self) -> bool:
        """Whether new repeats are as promised."""
        return self.after_kill or self.operated

    def new(self, result: StreamResult) -> int:
        """How many rows of a stream came twice since the last run that ended."""
        return max(0, result.twice - self.known.get(result.label, 0))


def query_command(kql: str, folder: Path) -> str:
    """The command that asks the demo's tables in ``folder``."""
    where = "" if folder == FOLDER else f" --folder {shlex.quote(str(folder))}"
    return f"python3 -m tools query '{kql}'{where}"


def report(
    results: Sequence[StreamResult],
    sent: Mapping[str, int],
    repeats: Repeats,
    seconds: float,
    folder: Path,
) -> None:
    """Print each stream's result, the verdict, and what to look at next."""
    lost, twice = sum(each.lost for each in results), sum(each.twice for each in results)
    verdict = f"{many(lost, 'record')} lost." if lost else "Everything arrived."
    if twice and repeats.after_kill:
        verdict += (
            f" {many(twice, 'row')} came twice: the last run was killed, and what it had sent "
            "without noting it was sent again, as docs/guarantees.md says."
        )
    elif twice and repeats.operated:
        verdict += (
            f" {many(twice, 'row')} came twice: a stream was replayed, reset or fetched since the "
            "last run."
        )
    elif twice:
        verdict += f" {many(twice, 'row')} came twice, which should not be: nothing was killed."
    elif repeats.after_kill:
        verdict += " The last run was killed; nothing came twice."
    print()
    print(as_table(results, sent))
    print("An object that changed counts once as had and arrived, and each of its states as sent;")
    print("policies and sites are snapshots, which have no time to be behind by.")
    print()
    print(f"{verdict} {seconds:.0f} s.")
    for vendor in vendors()[:1]:
        print(f"Ask the tables:  {query_command(vendor.example, folder)} (or make query Q='…')")
        print(f"Draw the week:   {query_command(f'{vendor.name} | {CHART}', folder)}")
    print("As in Azure, a row older than two days has the time of receipt as its TimeGenerated:")
    print("EventTime is the event's own time, which queries go by.")
