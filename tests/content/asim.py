"""The ASIM schemas as Microsoft publishes them, and rows of every parser to hold against them.

asim-fields.csv lists each schema's fields: class, type, allowed values, what a field is an alias of
or depends on (https://learn.microsoft.com/azure/sentinel/normalization-about-schemas).
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from local.vendors.jira_records import JIRA, jira_record
from local.vendors.onelogin_records import ONELOGIN, listed_event, onelogin_event
from local.vendors.sentinelone_records import threat
from local.workspace.workspace import Workspace
from tests.content.golden import NOW, cases, sent

STREAMS = ("Custom-OneLogin", "Custom-JiraAudit", "Custom-SentinelOneThreats")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a schema. ``allowed`` is empty where any value is; names may be alternatives."""

    importance: str
    kind: str
    allowed: frozenset[str]
    alias_of: tuple[str, ...]
    conditional_on: str


@functools.cache
def schema(name: str) -> Mapping[str, Field]:
    """The fields of a schema, with those that every schema has, by name."""
    fields: dict[str, Field] = {}
    with Path(__file__).with_name("asim-fields.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["schema"] == name or (row["schema"] == "Common" and row["field"] not in fields):
                fields[row["field"]] = _field(row)
    return fields


def _field(row: Mapping[str, str]) -> Field:
    allowed = {value.strip() for value in row["allowed"].split("|")} - {"", "Placeholder"}
    alias_of = tuple(filter(None, row["alias_of"].split("|")))
    # A boolean's values are listed too, and a name in angle brackets stands for any.
    any_value = row["type"] == "bool" or any("<" in value for value in allowed)
    kind = {"bool": "boolean"}.get(row["type"], row["type"])
    conditional = row["class"] == "Conditional" and alias_of
    return Field(
        importance=row["class"],
        kind=kind,
        allowed=frozenset() if any_value else frozenset(allowed),
        alias_of=() if conditional else alias_of,
        conditional_on=row["conditional_on"] or (alias_of[0] if conditional else ""),
    )


def filled() -> Workspace:
    """A workspace with golden records and those of the local vendors, of the last hour."""
    workspace = Workspace(None, now=lambda: NOW)
    for stream in STREAMS:
        records = [case["record"] for case in cases(stream) if case["row"]] + made(stream)
        workspace.ingest(stream, [sent(stream, record) for record in records])
    return workspace


def made(stream: str) -> list[dict[str, Any]]:
    """A record of every kind that the local vendor makes."""
    minute = timedelta(minutes=1)
    if stream == "Custom-OneLogin":
        posted = [onelogin_event(n, NOW - n * minute) for n in range(2 * len(ONELOGIN))]
        return posted + [listed_event(n, NOW - n * minute) for n in range(len(ONELOGIN))]
    if stream == "Custom-JiraAudit":
        return [jira_record(n, NOW - n * minute) for n in range(2 * len(JIRA))]
    return [threat(n, NOW - n * minute, NOW - n * minute / 2) for n in range(12)]
