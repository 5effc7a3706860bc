"""The demo's last words: the table of what arrived, and what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local.demo.reconcile import StreamResult, as_table
from local.vendors.registry import vendors
from shared.telemetry.humanize import many

CHART = "summarize count() by bin(EventTime, 12h), EventType | render timechart"


@dataclass(frozen=True, slots=True)
class Repeats:
    """Rows that stood twice before this run, by stream; whether a kill explains new ones."""

    known: Mapping[str, int]
    after_kill: bool

    def new(self, result: StreamResult) -> int:
        """How many rows of a stream came twice since the last run that ended."""
        return max(0, result.twice - self.known.get(result.stream.label, 0))


def report(
    results: Sequence[StreamResult], sent: Mapping[str, int], repeats: Repeats, seconds: float
) -> None:
    """Print each stream's result, the verdict, and what to look at next."""
    lost, twice = sum(each.lost for each in results), sum(each.twice for each in results)
    verdict = f"{many(lost, 'record')} lost." if lost else "Everything arrived."
    if twice and repeats.after_kill:
        verdict += (
            f" {many(twice, 'row')} came twice: the last run was killed, and what it had sent "
            "without noting it was sent again, as docs/guarantees.md says."
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
        print(f"Ask the tables:  python3 -m tools query '{vendor.example}' (or make query Q='…')")
        print(f"Draw the week:   python3 -m tools query '{vendor.name} | {CHART}'")
    print("As in Azure, a row older than two days has the time of receipt as its TimeGenerated:")
    print("EventTime is the event's own time, which queries go by.")
