"""Sources over a local vendor, and records by the hundred."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from local.vendors.jira import Jira
from local.vendors.sentinelone import SentinelOne
from shared.connections.opening import advice_for
from shared.connectors import jira, sentinelone
from shared.records.raw import decoded
from shared.records.timestamps import isoformat
from shared.source.connector import Connection
from shared.source.stream import Page, Source, Window

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = Window(START, START + timedelta(days=1))


def at(seconds: float) -> str:
    return isoformat(START + timedelta(seconds=seconds))


def jira_time(seconds: float) -> str:
    return at(seconds)[:23] + "+0000"


def connect(vendor: SentinelOne | Jira, seconds: float = 60.0) -> Connection:
    """The vendor's connection, with ``seconds`` of time for what is asked of it."""
    if isinstance(vendor, Jira):
        connection = jira.connect(
            jira.JiraSettings(vendor.url, vendor.username, vendor.token),
            advice_for(jira.CONNECTOR),
        )
    else:
        settings = sentinelone.SentinelOneSettings(
            vendor.url, vendor.token, sentinelone.STREAM_NAMES, 10_000, 60
        )
        connection = sentinelone.connect(settings, advice_for(sentinelone.CONNECTOR))
    connection.client.begin(time.monotonic() + seconds)
    return connection


def source(
    vendor: SentinelOne | Jira, setting_name: str = "jiraaudit", seconds: float = 60.0
) -> Source:
    """One stream of the vendor."""
    found = connect(vendor, seconds).sources
    return next(each for each in found if each.stream.setting_name == setting_name)


def ids(pages: Iterator[Page]) -> list[str]:
    return [str(decoded(record)["id"]) for page in pages for record in page.records]


def record_of(stream: str, number: int, seconds: float) -> dict[str, Any]:
    """A record with the times where the stream keeps them."""
    record: dict[str, Any] = {"id": str(number), "name": f"record {number}"}
    if stream == "threats":
        return {**record, "threatInfo": {"createdAt": at(seconds), "updatedAt": at(seconds)}}
    if stream == "alerts":
        alert = {"alertId": str(number), "createdAt": at(seconds), "reportedAt": at(seconds)}
        return {**record, "alertInfo": alert}
    names = ("createdAt", "updatedAt", "eventTime", "installedAt", "detectedAt")
    return {**record, **dict.fromkeys(names, at(seconds))}


def audit_record(number: int, seconds: float) -> dict[str, Any]:
    return {"id": number, "summary": "User created", "created": jira_time(seconds)}
