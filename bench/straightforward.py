"""The straightforward way, to compare with: page by page, json, ``upload(list)``.

Most functions that poll a vendor are written so. This one has an advantage: it keeps its
connection open, and stores neither a checkpoint nor fingerprints.
"""

from __future__ import annotations

from collections.abc import Mapping

import requests
from azure.identity import DefaultAzureCredential
from azure.monitor.ingestion import LogsIngestionClient


def straightforward_client(settings: Mapping[str, str]) -> LogsIngestionClient:
    """Make the client; a process has one."""
    return LogsIngestionClient(settings["LogsIngestionEndpoint"], DefaultAzureCredential())


def copy_activities(
    client: LogsIngestionClient, settings: Mapping[str, str], start: str, end: str
) -> None:
    """Every activity from ``start`` to before ``end`` (ISO 8601) into Azure Monitor."""
    url, rule_id = settings["SentinelOneUrl"], settings["SentinelOneRuleId"]
    session = requests.Session()
    session.headers["Authorization"] = f"ApiToken {settings['SentinelOneAPIToken']}"
    asked = {
        "limit": "1000",
        "sortBy": "createdAt",
        "sortOrder": "asc",
        "createdAt__gte": start,
        "createdAt__lt": end,
    }
    while True:
        response = session.get(f"{url}/web/api/v2.1/activities", params=asked, timeout=60)
        response.raise_for_status()
        page = response.json()
        for record in page["data"]:
            record["TimeGenerated"] = record["createdAt"]
            record["event_name"] = "Activities."
        if page["data"]:
            client.upload(rule_id, "Custom-SentinelOneActivities", page["data"])
        cursor = page["pagination"].get("nextCursor")
        if not cursor:
            return
        asked["cursor"] = cursor
