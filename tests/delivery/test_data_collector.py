"""The sink for the Data Collector API, whose requests are signed."""

from __future__ import annotations

import base64
import logging
import time

import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import answer, reset
from shared.delivery.batch import Batch
from shared.delivery.batch_sender import BatchSender, DeliveryCounters
from shared.delivery.data_collector import log_type, signature
from shared.delivery.dead_letters import DeadLetters
from shared.delivery.sink import Sink, sink_for
from shared.errors import DestinationRefused
from shared.settings.app import read_destination

RECORD = '{"TimeGenerated":"2026-01-02T03:04:05Z","notes":"Zoë 漢字 🔒","data":{"deep":{"a":1}}}'


@pytest.fixture
def way_in(azure_monitor: AzureMonitor, storage: str, monkeypatch: pytest.MonkeyPatch) -> Sink:
    """The sink that the settings select."""
    monkeypatch.delenv("LogsIngestionEndpoint")
    monkeypatch.setenv("WorkspaceID", azure_monitor.data_collector.workspace_id)
    monkeypatch.setenv("WorkspaceKey", azure_monitor.data_collector.workspace_key)
    monkeypatch.setenv("logAnalyticsUri", azure_monitor.url)
    return sink_for(read_destination())


def deliver(way_in: Sink, stream: str = "Custom-OneLogin") -> DeliveryCounters:
    delivery = BatchSender(way_in, DeadLetters(), sleep=lambda _: None)
    return delivery.deliver(Batch(stream, [RECORD.encode()]), time.monotonic() + 5)


def test_text_beyond_ascii_is_signed_by_its_bytes(
    azure_monitor: AzureMonitor, way_in: Sink
) -> None:
    """The signature is over the length in bytes: records in any script are accepted, nested."""
    done = deliver(way_in)
    (record,) = azure_monitor.records("OneLogin")
    assert record["notes"] == "Zoë 漢字 🔒"
    assert record["data"] == {"deep": {"a": 1}}
    assert done.bytes_sent == len(RECORD.encode()) + 2 > len(RECORD) + 2


def test_headers_are_those_of_the_api(azure_monitor: AzureMonitor, way_in: Sink) -> None:
    """A post names its table and its time field, and is not compressed."""
    deliver(way_in)
    (request,) = azure_monitor.server.requests
    assert request.path == "/api/logs"
    assert request.params == {"api-version": "2016-04-01"}
    assert request.headers["time-generated-field"] == "TimeGenerated"
    assert request.headers["Log-Type"] == "OneLogin"
    assert "Content-Encoding" not in request.headers


def test_the_signature_is_the_documented_one() -> None:
    """A known key, date and length give the signature of the documentation's algorithm."""
    key = base64.b64encode(b"key").decode()
    signed = signature("w", key, "Mon, 04 Apr 2016 08:00:00 GMT", 1024)
    assert signed == "SharedKey w:cJX9BuXukuOPWr7c3teEFuB6BX9N0Q8/VanqM45ajB0="


@pytest.mark.parametrize(
    ("stream", "table"),
    [
        ("Custom-SentinelOneActivities", "SentinelOne"),
        ("Custom-SentinelOneThreats", "SentinelOne"),
        ("Custom-OneLogin", "OneLogin"),
        ("Custom-JiraAudit", "Jira_Audit"),
    ],
)
def test_each_stream_has_the_table_that_people_know(stream: str, table: str) -> None:
    """The Log-Type leads to the tables that existing content reads."""
    assert log_type(stream) == table


def test_nothing_is_declared(way_in: Sink) -> None:
    """Records keep their nesting: the workspace makes the columns."""
    assert way_in.declared("Custom-OneLogin") is None


def test_a_wrong_key_names_the_settings(azure_monitor: AzureMonitor, way_in: Sink) -> None:
    """A refused signature says which settings to check, and shows no key."""
    key = azure_monitor.data_collector.workspace_key
    azure_monitor.data_collector.workspace_key = base64.b64encode(b"another").decode()
    with pytest.raises(DestinationRefused, match="WorkspaceKey") as raised:
        deliver(way_in)
    assert key not in str(raised.value)


def test_passing_faults_are_retried(azure_monitor: AzureMonitor, way_in: Sink) -> None:
    """429, 5xx and resets are retried, as with the Logs Ingestion API."""
    azure_monitor.faults.add("/api/logs", answer(429), answer(503), reset())
    done = deliver(way_in)
    assert done.retries == 3
    assert len(azure_monitor.records("OneLogin")) == 1


def test_the_end_of_support_is_said_once(
    azure_monitor: AzureMonitor,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> None:
    """One warning a process says that the Data Collector API's support ended."""
    caplog.set_level(logging.WARNING)
    way_in = request.getfixturevalue("way_in")
    deliver(way_in)
    deliver(sink_for(read_destination()))
    assert caplog.text.count("14 September 2026") == 1
