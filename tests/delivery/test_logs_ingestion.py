"""The sink for the Logs Ingestion API over TLS, with Microsoft's client, and its failures."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

import orjson
import pytest

from local.azure.entra import Identity
from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import Fault, answer, reset, reset_after, silence
from shared.delivery.batch import Batch
from shared.delivery.batch_sender import BatchSender, DeliveryCounters
from shared.delivery.dead_letters import DeadLetters
from shared.delivery.logs_ingestion import rule_setting, scope
from shared.delivery.sink import Sink, sink_for
from shared.errors import (
    DestinationRefused,
    DestinationUnavailable,
    RuleRefusesRecords,
    SettingsError,
)
from shared.settings.app import read_destination

STREAM = "Custom-OneLogin"


@pytest.fixture
def way_in(azure_monitor: AzureMonitor, storage: str) -> Sink:
    """The sink that the settings select."""
    return sink_for(read_destination())


def batch_of(count: int, **fields: Any) -> Batch:
    records = [orjson.dumps({"uuid": str(n), "notes": "Zoë", **fields}) for n in range(count)]
    return Batch(STREAM, records)


def deliver(way_in: Sink, batch: Batch, seconds: float = 5.0) -> DeliveryCounters:
    delivery = BatchSender(way_in, DeadLetters(), sleep=lambda _: None)
    return delivery.deliver(batch, time.monotonic() + seconds)


def uuids(azure_monitor: AzureMonitor) -> list[str]:
    return [record["uuid"] for record in azure_monitor.records(STREAM)]


def test_a_batch_arrives_as_it_was_encoded(azure_monitor: AzureMonitor, way_in: Sink) -> None:
    """Records arrive byte for byte, in gzip, and the bytes sent are counted."""
    batch = batch_of(100)
    done = deliver(way_in, batch)
    assert azure_monitor.records(STREAM) == [orjson.loads(record) for record in batch.records]
    totals = azure_monitor.accepted.totals()[STREAM]
    assert totals["raw_bytes"] == batch.size
    assert totals["wire_bytes"] == done.bytes_sent < batch.size
    assert (done.requests, done.retries) == (1, 0)


@pytest.mark.parametrize(
    "fault",
    [
        answer(408),
        answer(429),
        answer(429, headers={"Retry-After": "2"}),
        answer(429, headers={"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}),
        answer(500),
        answer(502, "<html></html>"),
        answer(503, headers={"Retry-After": "1"}),
        answer(504),
        reset(),
    ],
    ids=lambda fault: fault.name,
)
def test_a_passing_fault_costs_a_retry_and_no_record(
    azure_monitor: AzureMonitor, way_in: Sink, fault: Fault
) -> None:
    """Throttling, server errors and resets are retried; every record arrives once."""
    azure_monitor.faults.add("/streams/", fault, fault)
    done = deliver(way_in, batch_of(5))
    assert uuids(azure_monitor) == ["0", "1", "2", "3", "4"]
    assert (done.requests, done.retries) == (3, 2)


def test_an_answer_that_is_lost_may_repeat_but_never_loses(
    azure_monitor: AzureMonitor, way_in: Sink
) -> None:
    """A reset after acceptance looks like one before it: the batch is sent again."""
    azure_monitor.faults.add("/streams/", reset_after())
    done = deliver(way_in, batch_of(2))
    assert uuids(azure_monitor) == ["0", "1", "0", "1"]
    assert done.accepted == 2


def test_silence_ends_at_the_deadline(azure_monitor: AzureMonitor, way_in: Sink) -> None:
    """A server that never answers raises within the timeout."""
    azure_monitor.faults.add("/streams/", silence(), times=10)
    began = time.monotonic()
    with pytest.raises(DestinationUnavailable, match=r"127\.0\.0\.1"):
        deliver(way_in, batch_of(1), seconds=0.8)
    assert time.monotonic() - began < 2


def test_a_server_that_is_gone_is_unavailable(azure_monitor: AzureMonitor, way_in: Sink) -> None:
    """A refused connection is an outage, and says which host did not answer."""
    azure_monitor.server.close()
    with pytest.raises(DestinationUnavailable, match=r"127\.0\.0\.1"):
        deliver(way_in, batch_of(1), seconds=0.5)


def test_an_expired_token_is_renewed_once(
    azure_monitor: AzureMonitor, identity: Identity, way_in: Sink
) -> None:
    """After a 401 the upload succeeds with a new token, past every cache."""
    deliver(way_in, batch_of(1))
    identity.revoke()
    issued = identity.issued
    done = deliver(way_in, batch_of(2))
    assert done.accepted == 2
    assert identity.issued == issued + 1
    assert uuids(azure_monitor) == ["0", "0", "1"]


def test_a_token_that_is_never_taken_names_the_identity(
    azure_monitor: AzureMonitor, way_in: Sink
) -> None:
    """A second 401 raises an error that names the settings to check."""
    azure_monitor.faults.add("/streams/", answer(401), times=5)
    with pytest.raises(DestinationRefused, match="AZURE_CLIENT_ID") as raised:
        deliver(way_in, batch_of(1))
    assert raised.value.status == 401
    assert azure_monitor.server.count("/streams/") == 2


def test_a_missing_role_names_the_role_and_the_rule_setting(
    azure_monitor: AzureMonitor, way_in: Sink
) -> None:
    """A 403 says which role to give on which rule, and that it takes a while to spread."""
    azure_monitor.revoke_role()
    with pytest.raises(DestinationRefused, match="Monitoring Metrics Publisher") as raised:
        deliver(way_in, batch_of(1))
    assert "OneLoginRuleId" in str(raised.value)
    assert "30 minutes" in str(raised.value)
    assert azure_monitor.server.count("/streams/") == 1


def test_an_unknown_stream_names_the_rule_setting(
    azure_monitor: AzureMonitor, way_in: Sink
) -> None:
    """A 404 says which setting and which stream to check."""
    for rule in azure_monitor.rules:
        azure_monitor.rules[rule] = frozenset()
    with pytest.raises(DestinationRefused, match="OneLoginRuleId") as raised:
        deliver(way_in, batch_of(1))
    assert STREAM in str(raised.value)


def test_a_call_too_large_is_halved(azure_monitor: AzureMonitor, way_in: Sink) -> None:
    """If Azure's limit is lower than ours, batches are halved until they fit."""
    azure_monitor.limits = replace(azure_monitor.limits, body_bytes=1000)
    done = deliver(way_in, batch_of(100))
    assert uuids(azure_monitor) == [str(number) for number in range(100)]
    assert done.accepted == 100


def test_a_rule_that_refuses_every_record_stops_at_once(
    azure_monitor: AzureMonitor, way_in: Sink
) -> None:
    """A schema mistake fails with few requests; its message has Azure's code and no contents."""
    azure_monitor.refuse = lambda _stream, record: f"bad notes {record['notes']}"
    with pytest.raises(RuleRefusesRecords, match="InvalidRecord") as raised:
        deliver(way_in, batch_of(500))
    assert "Zoë" not in str(raised.value)
    assert azure_monitor.server.count("/streams/") < 50


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_sign_in_that_fails_says_so(
    azure_monitor: AzureMonitor, identity: Identity, way_in: Sink, status: int
) -> None:
    """An identity endpoint that refuses leads to an error about the app's identity."""
    body = orjson.dumps({"statusCode": status, "message": "No identity is assigned"})
    identity.managed.faults.add("/msi", answer(status, body), times=20)
    with pytest.raises(DestinationRefused, match="managed identity"):
        deliver(way_in, batch_of(1))
    assert azure_monitor.server.count("/streams/") == 0


def test_no_token_or_content_is_logged(
    azure_monitor: AzureMonitor, way_in: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither our log nor the log of Azure's SDKs has headers, tokens or records."""
    caplog.set_level(logging.DEBUG, logger="connectors")
    azure_monitor.faults.add("/streams/", answer(503))
    deliver(way_in, batch_of(1, secret="Ada Lovelace"))
    assert "Lovelace" not in caplog.text
    assert "Bearer" not in caplog.text
    assert "azure.core" not in caplog.text


def test_streams_go_through_the_rule_of_their_setting() -> None:
    """Each stream's rule is that of the setting named like it."""
    rules = {"SentinelOneRuleId": "dcr-1", "JiraAuditRuleId": "dcr-2", "OneLoginRuleId": "dcr-3"}
    assert rule_setting("Custom-SentinelOneThreats", rules) == "SentinelOneRuleId"
    assert rule_setting("Custom-JiraAudit", rules) == "JiraAuditRuleId"
    assert rule_setting("Custom-OneLogin", rules) == "OneLoginRuleId"
    assert rule_setting("Custom-ConnectorHealth", rules) is None


def test_a_stream_without_a_rule_is_a_settings_error(way_in: Sink) -> None:
    """A stream without a rule raises an error that names the setting for it."""
    with pytest.raises(SettingsError, match="LogsIngestionRuleId"):
        way_in.upload(Batch("Custom-Elsewhere", [b"{}"]), 5.0)


@pytest.mark.parametrize(
    ("endpoint", "audience"),
    [
        ("https://a.westeurope-1.ingest.monitor.azure.com", "https://monitor.azure.com/.default"),
        ("https://a.usgovvirginia-1.ingest.monitor.azure.us", "https://monitor.azure.us/.default"),
        ("https://a.chinanorth3-1.ingest.monitor.azure.cn", "https://monitor.azure.cn/.default"),
    ],
)
def test_the_tokens_audience_is_that_of_the_cloud(endpoint: str, audience: str) -> None:
    """Each cloud's endpoint gets a token for that cloud's Azure Monitor."""
    assert scope(endpoint) == audience
