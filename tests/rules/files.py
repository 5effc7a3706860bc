"""Read the queries of the Data connectors pages and of the workbook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tools import workbook
from tools.project import ROOT
from tools.rules import Rule
from tools.rules import load_rule as rule
from tools.rules import load_rules as rules
from tools.rules import parse_duration as duration

SENTINEL = ROOT / "sentinel"

__all__ = [
    "Rule",
    "connector_pages",
    "duration",
    "page_queries",
    "rule",
    "rules",
    "workbook_queries",
]


def _read(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return loaded


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
