"""Reads what this folder's tests are about: rules, Data connectors pages and the workbook."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from tools import workbook

SENTINEL = Path(__file__).resolve().parents[2] / "sentinel"

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


def duration(text: str) -> timedelta:
    """The length of an ISO-8601 duration such as ``PT5M``; ``ValueError`` for anything else."""
    found = _DURATION.fullmatch(text)
    if not found or not any(found.groups()):
        raise ValueError(f"{text!r} is not an ISO-8601 duration of days, hours, minutes or seconds")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


@dataclass(frozen=True, slots=True)
class Rule:
    """An analytics rule as its file has it."""

    name: str
    body: dict[str, Any]

    @property
    def query(self) -> str:
        """The rule's KQL."""
        return str(self.body["query"])

    @property
    def frequency(self) -> timedelta:
        """How often the rule runs."""
        return duration(self.body["queryFrequency"])

    @property
    def period(self) -> timedelta:
        """How far back, by TimeGenerated, the rule looks."""
        return duration(self.body["queryPeriod"])


def _read(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return loaded


def rules() -> list[Rule]:
    """Every analytics rule, by file name."""
    return [Rule(path.stem, _read(path)) for path in sorted((SENTINEL / "rules").glob("*.yaml"))]


def rule(name: str) -> Rule:
    """The rule of one file."""
    return Rule(name, _read(SENTINEL / "rules" / f"{name}.yaml"))


def connector_pages() -> dict[str, dict[str, Any]]:
    """Every Data connectors page, by file name."""
    return {path.stem: _read(path) for path in sorted((SENTINEL / "connectors").glob("*.yaml"))}


def page_queries() -> dict[str, str]:
    """Every query of the Data connectors pages, by where it stands."""
    found: dict[str, str] = {}
    codeless = {"codeless": _read(SENTINEL / "codeless" / "jira.yaml")["page"]}
    for name, page in (connector_pages() | codeless).items():
        for part, key in (
            ("graphQueries", "baseQuery"),
            ("dataTypes", "lastDataReceivedQuery"),
            ("sampleQueries", "query"),
        ):
            for number, item in enumerate(page[part]):
                found[f"{name} {part}[{number}]"] = item[key]
        for criterion in page["connectivityCriteria"]:
            for number, text in enumerate(criterion.get("value", [])):
                found[f"{name} connectivityCriteria[{number}]"] = text
    return found


def workbook_queries() -> dict[str, str]:
    """Every query of the workbook, by page and title, with an hour for the time range's grain."""
    found: dict[str, str] = {}
    for name in workbook.metadata()["pages"]:
        for panel in workbook.page(name)["panels"]:
            query = panel["query"].replace("{TimeRange:grain}", "1h")
            found[f"workbook {name}: {panel['title']}"] = query
    return found
