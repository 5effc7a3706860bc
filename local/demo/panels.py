"""The workbook's panels with the demo's data: the queries of the real document, and their rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from local.demo.week import Week
from local.vendors.company import guid
from local.vendors.decoys import decoy_records
from local.vendors.registry import vendors
from local.workspace.kql_engine import Rows
from local.workspace.workspace import QueryError, Workspace
from shared.records.timestamps import isoformat
from tools import workbook

# Panels that have nothing to show on one's own machine, and why.
EMPTY_HERE = {
    "Billed gigabytes by table": "Usage is a table of Azure's own: only a workspace has a bill.",
    "What the collection rules refused": "DCRLogErrors is filled by Azure's own diagnostics.",
    "Agents not heard of for two weeks": "Every agent of the demo reported within the week.",
    "Rows stamped with the time of receipt, since their own was over two days old or a day ahead": (
        "Every record of the week arrives on its own day."
    ),
}
_GRAIN = "6h"


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel of the workbook: how it is drawn, its share of the width in percent, its rows.

    ``missing`` is the table that the workspace on this machine lacks, or empty.
    """

    page: str
    title: str
    shown_as: str
    width: int
    rows: Rows
    missing: str


def filled_week(end: datetime, size: float) -> Week:
    """The demo's week, with health rows of its connectors and a decoy's threats beside it."""
    week = Week(end, size)
    for number, day in enumerate(week.days()):
        week.workspace.ingest("Custom-ConnectorHealth", list(_health(day)))
        for stream, records in decoy_records(number, day).items():
            week.workspace.ingest(stream, records)
    return week


def panels(workspace: Workspace) -> Iterator[Panel]:
    """Every panel of the workbook's document, in its order, with the rows of its query."""
    for group in workbook.workbook()["items"]:
        if group["type"] == 12:
            for item in group["content"]["items"]:
                if item["type"] == 3:
                    yield _panel(workspace, group["name"], item)


def _panel(workspace: Workspace, page: str, item: dict[str, Any]) -> Panel:
    content, missing = item["content"], ""
    try:
        rows = workspace.query(content["query"].replace("{TimeRange:grain}", _GRAIN))
    except QueryError as error:
        if content["title"] not in EMPTY_HERE:
            raise
        rows, missing = Rows([], []), str(error)
    width = int(item.get("customWidth", 100))
    return Panel(page, content["title"], content["visualization"], width, rows, missing)


def _health(day: datetime) -> Iterator[dict[str, Any]]:
    """Runs of a day, every six hours; each connector fails once, and recovers."""
    for hours in range(0, 24, 6):
        for number, vendor in enumerate(vendors()):
            at = day - timedelta(hours=hours, minutes=5)
            failing = day.day % 5 == number and hours == 12
            yield {
                "TimeGenerated": isoformat(at),
                "Connector": vendor.name,
                "Stream": vendor.streams[0].stream,
                "Status": "failing" if failing else "ok",
                "Records": 0 if failing else 120 + 37 * number + hours,
                "Bytes": 120_000,
                "BytesRead": 200_000,
                "SecondsBehind": 5400.0 if failing else 40.0 + hours,
                "DurationSeconds": 2.5,
                "Requests": 6 + number,
                "Retries": 4 if failing else 0,
                "RepeatsSuppressed": number,
                "DeadLettered": 2 if failing and number == 1 else 0,
                "SpoolDepth": 12 if failing else 0,
                "PoisonMessages": 0,
                "ErrorClass": "VendorUnavailable" if failing else "",
                "Message": "503 Service Unavailable" if failing else "",
                "Version": "1.0.0",
                "RunId": guid("run", number + int(at.timestamp())),
            }
