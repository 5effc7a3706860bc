"""Rows of an earlier version's checkpoints carry over."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import shared.azure.storage
from local.azure.logs_ingestion import AzureMonitor
from local.vendors import sentinelone_records
from local.vendors.jira import Jira
from local.vendors.jira_records import jira_record
from local.vendors.sentinelone import SentinelOne
from shared.connectors import jira as jira_connector
from shared.polling.run import poll
from shared.records.timestamps import parse_time
from shared.state.checkpoint import TABLE, StreamCheckpoint, partition_key
from shared.state.progress import FORMAT
from tests.app import App
from tests.polling.timers import ACTIVITIES, arrived, poll_sentinelone

pytestmark = pytest.mark.usefixtures("settings_env")

# Written by commit 2de70a8, with format 1, of the records that ``vendors_then`` makes again.
ROWS: Mapping[str, Any] = json.loads(
    Path(__file__).with_name("rows_of_format_1.json").read_text(encoding="utf-8")
)
MADE_AT = datetime.fromisoformat(ROWS["made_at"])


def store_rows(sentinelone: str, jira: str) -> None:
    """Put the rows into the table, as those of these addresses."""
    table = shared.azure.storage.table(TABLE)
    table.create_table()
    for row in ROWS["rows"]:
        values = {
            name: base64.b64decode(value["base64"]) if isinstance(value, dict) else value
            for name, value in row.items()
        }
        here = row["PartitionKey"].replace(ROWS["sentinelone"], sentinelone)
        values["PartitionKey"] = here.replace(ROWS["jira"], jira)
        table.create_entity(values)


def vendors_then(sentinelone: SentinelOne, jira: Jira) -> None:
    """The vendors' records at the time of the rows."""
    now = MADE_AT
    for stream, make in (
        ("threats", sentinelone_records.threat),
        ("unifiedalerts", sentinelone_records.unified_alert),
        ("devicecontrol", sentinelone_records.device_event),
        ("applications", sentinelone_records.application),
        ("agents", sentinelone_records.agent),
    ):
        moments = [now - timedelta(minutes=3 * n + 1) for n in range(12)]
        sentinelone.add(stream, [make(n, at) for n, at in enumerate(moments)])
    sentinelone.add("groups", [sentinelone_records.group(n, now) for n in range(4)])
    sentinelone.add("sites", [sentinelone_records.site(n) for n in range(2)])
    jira.add([jira_record(n, now - timedelta(minutes=n)) for n in range(9)])
    seconds = [timedelta(seconds=1500 - n) for n in range(1500)]
    sentinelone.add(
        "activities",
        [sentinelone_records.activity(n, now - ago) for n, ago in enumerate(seconds)],
    )


def test_each_stream_goes_on_where_the_earlier_version_left_it(
    sentinelone: SentinelOne,
    jira: Jira,
    azure_monitor: AzureMonitor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing comes again; what an open window had yet to bring arrives, and what is new."""
    monkeypatch.setenv("SentinelOneInventoryMinutes", "0")
    vendors_then(sentinelone, jira)
    store_rows(sentinelone.url.split("//")[1], jira.url.split("//")[1])
    sentinelone.denied["alerts"] = 403
    new = MADE_AT + timedelta(minutes=2)
    sentinelone.add("threats", [sentinelone_records.threat(100, new)])
    sentinelone.add("applications", [sentinelone_records.application(100, new)])
    sentinelone.add("devicecontrol", [sentinelone_records.device_event(100, new)])
    results = {r.stream: r.records for r in [*poll(jira_connector.CONNECTOR)]}
    results |= {stream: run.records for stream, run in poll_sentinelone().items()}
    assert {stream: count for stream, count in results.items() if count} == {
        "Custom-SentinelOneThreats": 1,
        "Custom-SentinelOneApplications": 1,
        "Custom-SentinelOneDeviceControl": 1,
        ACTIVITIES: 500,
    }
    late = [sentinelone_records.activity(n, MADE_AT) for n in range(1000, 1500)]
    assert arrived(azure_monitor) == Counter(record["id"] for record in late)


def test_every_row_is_read_and_written_in_this_format(
    app: App, sentinelone: SentinelOne, jira: Jira, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watermarks, open windows, what is off and the fingerprints are those that were stored."""
    monkeypatch.setenv("SentinelOneStreams", "activities,threats")
    store_rows(sentinelone.url.split("//")[1], jira.url.split("//")[1])
    partition = partition_key("SentinelOne", sentinelone.url)
    for row in ROWS["rows"]:
        if not row["PartitionKey"].startswith("SentinelOne"):
            continue
        stored = StreamCheckpoint(
            shared.azure.storage.table(TABLE), partition, row["RowKey"], "a run"
        )
        seen = stored.load()
        progress = stored.progress
        assert progress.watermark == parse_time(row["watermark"])
        assert progress.position == parse_time(row["position"])
        assert progress.disabled_since == parse_time(row["off_since"])
        assert (progress.cursor, progress.known_id, progress.stalled) == ("", "", 0)
        packed = base64.b64decode(row["seen00"]["base64"]) if "seen00" in row else b""
        assert len(seen) == len(packed) // 12
    assert app.stream("SentinelOneActivities")["assessment"]["reason"] != ""
    assert "another version" not in json.dumps(app.status())
    poll_sentinelone()
    entity = shared.azure.storage.table(TABLE).get_entity(partition, ACTIVITIES)
    assert entity["format"] == FORMAT == 2
