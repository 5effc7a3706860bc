"""The demo's last words lead to queries that show the week."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from local.demo.report import CHART, query_command
from local.vendors.registry import vendors
from local.workspace.workspace import Workspace
from local.world import FOLDER
from shared.records.timestamps import isoformat

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)


def test_the_chart_is_of_the_week() -> None:
    """By the events' own time; an application's day of installation, years ago, is not drawn."""
    workspace = Workspace(None, now=lambda: NOW)
    ages = [timedelta(hours=1), timedelta(days=6), timedelta(days=900)]
    rows = [
        {"id": str(n), "installedAt": isoformat(NOW - age), "event_name": "Applications."}
        for n, age in enumerate(ages)
    ]
    workspace.ingest("Custom-SentinelOneApplications", rows)
    drawn = workspace.query(f"SentinelOne | {CHART}").rows
    workspace.close()
    assert [count for *_, count in drawn] == [1, 1]


def test_queries_go_by_the_events_own_time() -> None:
    """A row of the week that is older than two days has the time of receipt as TimeGenerated."""
    assert not [v.example for v in vendors() if "TimeGenerated" in f"{v.example} {CHART}"]


def test_a_query_names_the_folder_in_use(tmp_path: Path) -> None:
    """The command can be pasted as it stands."""
    assert query_command("Acme | count", FOLDER) == "python3 -m tools query 'Acme | count'"
    assert query_command("Acme | count", tmp_path).endswith(f" --folder {tmp_path}")
