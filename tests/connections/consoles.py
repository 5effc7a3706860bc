"""Further consoles beside the one without a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import shared.azure.storage
from local.azure.logs_ingestion import AzureMonitor
from local.vendors.sentinelone import SentinelOne
from shared.records.timestamps import isoformat, utc_now
from shared.state.checkpoint import TABLE

ACTIVITIES = "Custom-SentinelOneActivities"
HEALTH = "Custom-ConnectorHealth"


class Consoles:
    """SentinelOne consoles by their connections' names, each a server with settings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._settings = monkeypatch
        self._running = ExitStack()

    def add(self, name: str, *, activities: range = range(0)) -> SentinelOne:
        """Start a console and set it up as the connection ``name``."""
        console = self._running.enter_context(SentinelOne())
        self._settings.setenv(f"SentinelOneUrl__{name}", console.url)
        self._settings.setenv(f"SentinelOneAPIToken__{name}", console.token)
        console.add("activities", [activity(number) for number in activities])
        return console

    def remove(self, name: str) -> None:
        """Take its settings away."""
        self._settings.delenv(f"SentinelOneUrl__{name}")
        self._settings.delenv(f"SentinelOneAPIToken__{name}")

    def close(self) -> None:
        """Stop all of them."""
        self._running.close()


def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Consoles]:
    """Consoles for the time of a test."""
    found = Consoles(monkeypatch)
    try:
        yield found
    finally:
        found.close()


def activity(number: int) -> dict[str, Any]:
    """A record of a moment ago."""
    return {"id": str(number), "createdAt": isoformat(utc_now())}


def arrived(monitor: AzureMonitor) -> Counter[tuple[str, str]]:
    """How often each activity arrived, by its connection ('' where it says none) and its id."""
    return Counter(
        (str(record.get("AdditionalFields", {}).get("Connection", "")), str(record["id"]))
        for record in monitor.records(ACTIVITIES)
    )


def partitions() -> set[str]:
    """The PartitionKeys of all checkpoints."""
    return {row["PartitionKey"] for row in shared.azure.storage.table(TABLE).list_entities()}
