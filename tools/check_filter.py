"""Check a filter before a deployment: a predicate on what a stream's transform makes.

``python -m tools check-filter STREAM 'predicate'`` asks Microsoft's KQL parser, with the functions
and operators that Azure Monitor runs in a transform and the columns that the stream has there.
https://learn.microsoft.com/azure/azure-monitor/data-collection/data-collection-transformations-kql
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from tools.content import StreamDecl, load_tables
from tools.kql_check import Query, analyse
from tools.rule_queries import names, tokens
from tools.rules import load_rules
from tools.template.transforms import one_line

_BEHIND = " | where ("


def faults(stream: StreamDecl, predicate: str) -> list[str]:
    """What Azure would refuse of ``predicate``, or take for something else; empty: nothing."""
    if found := list(_not_one_predicate(predicate)):
        return found
    before = one_line(stream.transform) + _BEHIND
    (analysis,) = analyse([Query("filter", f"{before}{predicate})", transform=stream.columns)])
    return [
        f"at character {max(1, found.column - len(before))}: {found.message}"
        for found in analysis.diagnostics
        if found.severity == "error"
    ]


def _not_one_predicate(predicate: str) -> Iterator[str]:
    """What would end the parentheses that a filter is put into, or the line."""
    if not predicate.strip():
        yield "it is empty: leave the stream out of filters"
    if "\n" in predicate or "\r" in predicate:
        yield "it has several lines: a transform is stored on one"
    depth = 0
    for kind, word in tokens(predicate):
        if kind == "comment":
            yield f"it has a comment, which would hide what comes behind it: {word}"
        elif kind == "other" and word in "'\"":
            yield "a text does not end"
        elif kind == "other" and word in "|;":
            yield f"it has {word}: a filter is one predicate, joined by and, or"
        depth += {"(": 1, ")": -1}.get(word, 0) if kind == "other" else 0
        if depth < 0:
            yield "it closes a parenthesis that it did not open"
            return
    if depth:
        yield "it opens a parenthesis that it does not close"


def stream_named(name: str) -> StreamDecl:
    """The stream, with or without ``Custom-``. Raises ``ValueError`` that says which there are."""
    streams = {stream.name: stream for table in load_tables() for stream in table.streams.values()}
    wanted = name if name.startswith("Custom-") else f"Custom-{name}"
    if wanted not in streams:
        near = get_close_matches(wanted, streams, n=1)
        known = f"Did you mean {near[0]}?" if near else f"There are {', '.join(streams)}."
        raise ValueError(f"No stream is named {name}. {known}")
    return streams[wanted]


def main(argv: Sequence[str]) -> int:
    """Say whether a predicate will do: 0; 1 if Azure would refuse it, 2 for an unknown stream."""
    parser = argparse.ArgumentParser(prog="python3 -m tools check-filter", description=__doc__)
    parser.add_argument("stream", help="like Custom-AcmeEvents")
    parser.add_argument("predicate", help='KQL, like "activityType_d !in (5126, 5127)"')
    options = parser.parse_args(argv)
    try:
        stream = stream_named(options.stream)
    except ValueError as unknown:
        print(unknown, file=sys.stderr)
        return 2
    if found := faults(stream, options.predicate):
        for fault in found:
            print(f"{stream.name}: {fault}", file=sys.stderr)
        return 1
    print("\n".join(_report(stream, options.predicate)))
    return 0


def _report(stream: StreamDecl, predicate: str) -> Iterator[str]:
    used = sorted(set(names(predicate)) & _columns(stream))
    yield f"{stream.name}: stored is what {', '.join(used) or 'it'} says. The parameter:"
    yield f"  filters={json.dumps({stream.name: predicate}, ensure_ascii=False)}"
    if reading := [rule.title for rule in load_rules() if stream in rule.streams]:
        yield "These rules read the stream, and see only what passes:"
        yield from (f"  {title}" for title in reading)
    yield "Azure Monitor bills what a transform drops beyond half of what it was sent."


def _columns(stream: StreamDecl) -> set[str]:
    (table,) = [table for table in load_tables() if stream.name in table.streams]
    return set(table.columns)
