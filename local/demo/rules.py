"""`python -m tools rules`: every analytics rule over the demo's week, and what each finds there."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from local.demo.week import Week
from tools.rules import Rule, load_rules

_MINUTES = {"m": 1, "h": 60, "d": 1440}
_SHOWN = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Print each rule with its alerts of the week; returns 0."""
    parser = argparse.ArgumentParser(prog="python3 -m tools rules", description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, help="of the week (1)")
    parser.add_argument("--only", default="", help="a part of the rules' file names")
    arguments = parser.parse_args(argv)
    if arguments.size <= 0:
        parser.error("--size must be more than 0")
    chosen = [r for r in load_rules() if arguments.only.lower() in r.name.lower()]
    if not chosen:
        print(f"No rule has {arguments.only!r} in its name.", file=sys.stderr)
        return 1
    print("A week of every vendor arrives in a workspace, and the rules run once for each day …")
    for rule, alerts in run_rules(chosen, Week(datetime.now(UTC), arguments.size)):
        print(_line(rule, alerts))
    return 0


def run_rules(rules: Sequence[Rule], week: Week) -> list[tuple[Rule, list[dict[str, Any]]]]:
    """Each rule with the rows that it returns over the week, in order.

    A rule runs every few minutes and looks at what arrived since; here it runs once a day and looks
    at what arrived in that day, which finds the same and takes seconds.
    """
    found: dict[str, list[dict[str, Any]]] = {rule.name: [] for rule in rules}
    try:
        for _ in week.days():
            for rule in rules:
                found[rule.name] += week.workspace.query(daily(rule)).dicts()
    finally:
        week.workspace.close()
    return [(rule, found[rule.name]) for rule in rules]


def daily(rule: Rule) -> str:
    """The rule's query with a day in place of its frequency."""
    minutes = int(rule.frequency.total_seconds() // 60)

    def widened(match: re.Match[str]) -> str:
        same = int(match[2]) * _MINUTES[match[3]] == minutes
        return f"{match[1]}ago(1d)" if same else match[0]

    return re.sub(r"((?:Arrived|Since) > )ago\((\d+)([mhd])\)", widened, rule.query)


def _line(rule: Rule, alerts: Sequence[dict[str, Any]]) -> str:
    head = f"{len(alerts):>4}  {rule.body['severity']:<13} {rule.title}"
    return "\n".join([head, *(f"        {_summary(rule, alert)}" for alert in alerts[:_SHOWN])])


def _summary(rule: Rule, alert: dict[str, Any]) -> str:
    """The alert's title as Sentinel fills it in."""
    pattern = rule.body.get("alertDetailsOverride", {}).get("alertDisplayNameFormat", rule.title)
    return re.sub(r"\{\{(\w+)\}\}", lambda match: str(alert.get(match[1], "")), pattern)
