"""Makes the workbook's JSON from the pages in sentinel/workbooks/pages.

A workbook is stored as one JSON document whose queries are strings on one line. The pages keep them
as text that a person can read, and this module writes ``SecurityConnectors.json`` from them. Its
shape is what a workbook's advanced editor shows
(https://learn.microsoft.com/azure/azure-monitor/visualize/workbooks-overview).

``python -m tools workbook`` writes the file; with ``--check`` it fails where that is out of date.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

from tools.content import SENTINEL, load_yaml
from tools.generated_files import write_or_check

FOLDER = SENTINEL / "workbooks"
WORKBOOK = FOLDER / "SecurityConnectors.json"
WORKSPACE = "microsoft.operationalinsights/workspaces"
SCHEMA = (
    "https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json"
)

_HOURS = (1, 4, 12, 24, 72, 168, 336, 720)
_HOUR_MS = 3_600_000
_STATUS_ICONS = {"ok": "success", "catching up": "pending", "late": "warning", "failing": "failed"}


def metadata() -> dict[str, Any]:
    """The workbook's id (a GUID), name, description and the order of its pages."""
    return load_yaml(FOLDER / "SecurityConnectors.yaml")


def page(name: str) -> dict[str, Any]:
    """One page: label, intro (Markdown) and panels (title, as, query, width in percent)."""
    return load_yaml(FOLDER / "pages" / f"{name}.yaml")


def workbook() -> dict[str, Any]:
    """The document that Microsoft.Insights/workbooks takes, as a string, in ``serializedData``."""
    described = metadata()
    names: list[str] = described["pages"]
    return {
        "version": "Notebook/1.0",
        "items": [_time_range(), _tabs(names), *(_group(name) for name in names)],
        "fromTemplateId": f"sentinel-{described['id']}",
        "$schema": SCHEMA,
    }


def serialized() -> str:
    """The document as it is committed: indented, keys in the order in which a person reads them."""
    return json.dumps(workbook(), indent=2, ensure_ascii=False) + "\n"


def _stable_id(*parts: str) -> str:
    """The same id at every build, since a changed one would be a change to the workbook."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(("security-connectors", *parts))))


def _time_range() -> dict[str, Any]:
    return {
        "type": 9,
        "content": {
            "version": "KqlParameterItem/1.0",
            "parameters": [
                {
                    "id": _stable_id("parameter", "TimeRange"),
                    "version": "KqlParameterItem/1.0",
                    "name": "TimeRange",
                    "label": "Time range",
                    "type": 4,
                    "isRequired": True,
                    "value": {"durationMs": 24 * _HOUR_MS},
                    "typeSettings": {
                        "selectableValues": [{"durationMs": hours * _HOUR_MS} for hours in _HOURS],
                        "allowCustom": True,
                    },
                }
            ],
            "style": "pills",
            "queryType": 0,
            "resourceType": WORKSPACE,
        },
        "name": "parameters",
    }


def _tabs(names: list[str]) -> dict[str, Any]:
    return {
        "type": 11,
        "content": {
            "version": "LinkItem/1.0",
            "style": "tabs",
            "links": [
                {
                    "id": _stable_id("tab", name),
                    "cellValue": "Page",
                    "linkTarget": "parameter",
                    "linkLabel": page(name)["label"],
                    "subTarget": name,
                    "style": "link",
                }
                for name in names
            ],
        },
        "name": "tabs",
    }


def _group(name: str) -> dict[str, Any]:
    described = page(name)
    intro = {"type": 1, "content": {"json": described["intro"]}, "name": f"{name} - introduction"}
    panels = [_panel(name, panel) for panel in described["panels"]]
    return {
        "type": 12,
        "content": {
            "version": "NotebookGroup/1.0",
            "groupType": "editable",
            "items": [intro, *panels],
        },
        "conditionalVisibility": {
            "parameterName": "Page",
            "comparison": "isEqualTo",
            "value": name,
        },
        "name": name,
    }


def _panel(page_name: str, panel: dict[str, Any]) -> dict[str, Any]:
    shown_as: str = panel["as"]
    content: dict[str, Any] = {
        "version": "KqlItem/1.0",
        "query": panel["query"].rstrip("\n"),
        "size": 4 if shown_as == "tiles" else 0,
        "title": panel["title"],
        "noDataMessage": "Nothing in this time range.",
        "timeContextFromParameter": "TimeRange",
        "queryType": 0,
        "resourceType": WORKSPACE,
        "visualization": shown_as,
    }
    if shown_as == "tiles":
        content["tileSettings"] = {
            "titleContent": {"columnMatch": "Name", "formatter": 1},
            "leftContent": {
                "columnMatch": "Count",
                "formatter": 12,
                "formatOptions": {"palette": "auto"},
            },
            "showBorder": True,
        }
    if "status" in panel:
        content["gridSettings"] = {"formatters": [_status_icons(panel["status"])]}
    item = {"type": 3, "content": content, "name": f"{page_name} - {panel['title']}"}
    if "width" in panel:
        item["customWidth"] = str(panel["width"])
    return item


def _status_icons(column: str) -> dict[str, Any]:
    grid = [
        {"operator": "==", "thresholdValue": value, "representation": icon, "text": "{0}{1}"}
        for value, icon in _STATUS_ICONS.items()
    ]
    other = {
        "operator": "Default",
        "thresholdValue": None,
        "representation": "unknown",
        "text": "{0}{1}",
    }
    return {
        "columnMatch": column,
        "formatter": 18,
        "formatOptions": {"thresholdsOptions": "icons", "thresholdsGrid": [*grid, other]},
    }


def main(argv: Sequence[str]) -> int:
    """Write the file, or check it; see ``write_or_check``."""
    return write_or_check("workbook", __doc__, lambda: {WORKBOOK: serialized()}, argv)
