"""Runs that began and never ended: their successor tells."""

from __future__ import annotations

from collections.abc import Callable

from local.azure.logs_ingestion import AzureMonitor
from local.vendors.sentinelone import SentinelOne
from shared.connectors.sentinelone import CONNECTOR
from shared.polling.run import poll
from shared.state.lease import held_lease

HEALTH = "Custom-ConnectorHealth"


def killed_run() -> None:
    """A run that began, and whose process died before it wrote down an end."""
    with held_lease(CONNECTOR.name) as lease:
        assert lease is not None
        lease.begin()


def test_two_killed_runs_are_a_failing_row(
    settings_env: dict[str, str],
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    only: Callable[[str], None],
) -> None:
    """A process without memory tells nothing itself; one kill alone is a line in the log."""
    only("activities,threats")
    killed_run()
    poll(CONNECTOR)
    assert {row["Status"] for row in azure_monitor.records(HEALTH)} == {"ok"}
    for _ in range(2):
        killed_run()
    poll(CONNECTOR)
    told = [row for row in azure_monitor.records(HEALTH) if row["Status"] == "failing"]
    assert [row["Stream"].removeprefix("Custom-SentinelOne") for row in told] == [
        "Threats",
        "Activities",
    ]
    assert {row["ErrorClass"] for row in told} == {"NoProgress"}
    assert "2 runs in a row began and never ended" in told[0]["Message"]
    assert [row["Status"] for row in azure_monitor.records(HEALTH)][-2:] == ["ok", "ok"]
