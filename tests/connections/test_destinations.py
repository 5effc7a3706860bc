"""A destination of its own: nothing of one tenant ever reaches another's workspace."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator

import azure.functions as func
import orjson
import pytest

import shared.azure.storage
from local.azure.entra import Identity
from local.azure.logs_ingestion import AzureMonitor, declared_rules, rule_id
from local.loopback.certificates import Certificates
from local.loopback.faults import FOREVER, answer
from local.vendors.sentinelone import SentinelOne
from shared.connections.registry import connectors
from shared.connectors.sentinelone import CONNECTOR
from shared.delivery import redelivery
from shared.delivery.destinations import forget_destinations
from shared.delivery.spool import QUEUE, Spool
from shared.errors import RunFailed
from shared.health.webhook import health_of
from shared.polling.run import poll
from shared.records.declared import declared_streams
from shared.settings.app import is_set_up
from tests.app import ask
from tests.connections.consoles import ACTIVITIES, HEALTH, Consoles, activity

SPOOLED = "Custom-OneLogin"


@pytest.fixture
def emea_monitor(
    consoles: Consoles, identity: Identity, tls: Certificates, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AzureMonitor]:
    """Another tenant's Azure Monitor, to which the connection emea's settings lead."""
    streams = [stream for streams in declared_rules().values() for stream in streams]
    rule = rule_id("TheOneRuleOfEmea")
    with AzureMonitor(identity, {rule: streams}, tls) as running:
        monkeypatch.setenv("LogsIngestionEndpoint__emea", running.url)
        monkeypatch.setenv("LogsIngestionRuleId__emea", rule)
        yield running


@pytest.fixture(autouse=True)
def without_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put back is shown at once."""
    monkeypatch.setattr(redelivery, "delay_after", lambda _: 0)


def redeliver() -> None:
    """Hand each message that waits to DeliveryRetry once, with every circuit closed."""
    forget_destinations()
    main = importlib.import_module("DeliveryRetry").main
    queue = shared.azure.storage.queue(QUEUE)
    for shown in list(queue.receive_messages(messages_per_page=32, visibility_timeout=60)):
        main(func.QueueMessage(id=shown.id, body=shown.content.encode()))
        queue.delete_message(shown.id, shown.pop_receipt)


def redrive() -> dict[str, int]:
    value: dict[str, int] = orjson.loads(ask("POST", {"redrive": "dead-letters"}).get_body())
    return value


def ids(monitor: AzureMonitor, stream: str = ACTIVITIES) -> list[str]:
    return sorted(str(record["id"]) for record in monitor.records(stream))


def encoded(name: str) -> bytes:
    return json.dumps({"TimeGenerated": "2026-11-28T12:00:00Z", "id": name}).encode()


def test_records_and_health_rows_go_to_their_own_workspace(
    consoles: Consoles,
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    emea_monitor: AzureMonitor,
) -> None:
    """Each tenant's Azure Monitor sees its own rows alone."""
    sentinelone.add("activities", [activity(1)])
    consoles.add("emea", activities=range(2, 4))
    poll(CONNECTOR)
    poll(CONNECTOR, "emea")
    assert (ids(azure_monitor), ids(emea_monitor)) == (["1"], ["2", "3"])
    assert [row.get("Connection") for row in azure_monitor.records(HEALTH)] == [None]
    assert [row.get("Connection") for row in emea_monitor.records(HEALTH)] == ["emea"]


def test_an_outage_of_one_workspace_stops_no_other(
    consoles: Consoles, azure_monitor: AzureMonitor, emea_monitor: AzureMonitor
) -> None:
    """Spooled events wait for their own destination, and then go there."""
    consoles.add("emea")
    emea_monitor.faults.add("/streams/", answer(503), times=FOREVER)
    Spool().put(SPOOLED, [encoded("ours")])
    Spool().put(SPOOLED, [encoded("theirs")], connection="emea")
    redeliver()
    assert (ids(azure_monitor, SPOOLED), ids(emea_monitor, SPOOLED)) == (["ours"], [])
    emea_monitor.faults.clear()
    redeliver()
    assert (ids(azure_monitor, SPOOLED), ids(emea_monitor, SPOOLED)) == (["ours"], ["theirs"])
    for name in ("", "emea"):
        health_of(SPOOLED, name).rows.flush()
    rows = [[r.get("Connection") for r in m.records(HEALTH)] for m in (azure_monitor, emea_monitor)]
    assert rows[0] == [None]
    assert set(rows[1]) == {"emea"}


def test_dead_letters_are_sent_again_to_their_own_workspace(
    consoles: Consoles,
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    emea_monitor: AzureMonitor,
) -> None:
    """Both workspaces refused a record; mended, each gets its own."""
    for monitor in (azure_monitor, emea_monitor):
        monitor.refuse = lambda _, record: "InvalidRecord: no" if record["id"] in "13" else None
    sentinelone.add("activities", [activity(number) for number in (1, 2)])
    consoles.add("emea", activities=range(3, 5))
    poll(CONNECTOR)
    poll(CONNECTOR, "emea")
    assert (ids(azure_monitor), ids(emea_monitor)) == (["2"], ["4"])
    for monitor in (azure_monitor, emea_monitor):
        monitor.refuse = None
    assert redrive()["sent"] == 2
    assert (ids(azure_monitor), ids(emea_monitor)) == (["1", "2"], ["3", "4"])


def test_what_belongs_to_a_removed_connection_waits_and_is_told(
    consoles: Consoles,
    azure_monitor: AzureMonitor,
    emea_monitor: AzureMonitor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its settings are gone, its endpoint too: nothing goes to the one without a name."""
    emea_monitor.refuse = lambda _, record: "InvalidRecord: no" if record["id"] == "1" else None
    consoles.add("emea", activities=range(1, 3))
    poll(CONNECTOR, "emea")
    emea_monitor.refuse = None
    Spool().put(SPOOLED, [encoded("theirs")], connection="emea")
    kept = {name: os.environ[name] for name in os.environ if name.endswith("__emea")}
    for name in kept:
        monkeypatch.delenv(name)
    redeliver()
    report = redrive()
    assert (report["sent"], report["left"]) == (0, 1)
    assert Spool().depth() == 1
    assert "Records of the connection emea wait" in caplog.text
    assert ids(azure_monitor) == ids(azure_monitor, SPOOLED) == []
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    assert redrive()["sent"] == 1
    redeliver()
    assert ids(emea_monitor) == ["1", "2"]
    assert ids(emea_monitor, SPOOLED) == ["theirs"]
    assert ids(azure_monitor) == ids(azure_monitor, SPOOLED) == []


def test_a_refused_upload_names_the_connections_own_rule(
    consoles: Consoles, azure_monitor: AzureMonitor, emea_monitor: AzureMonitor
) -> None:
    """Its setting in force, of those that the connection has."""
    emea_monitor.faults.add("/streams/", answer(403), times=FOREVER)
    consoles.add("emea", activities=range(1))
    with pytest.raises(RunFailed, match=r"rule that LogsIngestionRuleId__emea names"):
        poll(CONNECTOR, "emea")


def test_settings_of_destinations_alone_set_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do others' variables; a connector's own setting does."""
    for name in ("LogsIngestionEndpoint", "SentinelOneRuleId", "WEBSITE", "WorkspaceID"):
        monkeypatch.setenv(f"{name}__emea", "anything")
    assert not is_set_up("emea")
    monkeypatch.setenv("SENTINELONEURL__EMEA", "https://emea.example.net")
    assert is_set_up("EMEA")
    assert not is_set_up("emea")


def test_a_connectors_settings_begin_with_its_name() -> None:
    """By that a connection is known to be set up, without a vendor's module."""
    known = {stream.connector for stream in declared_streams().values()}
    for connector in connectors():
        assert connector.name in known
        for each in connector.declared().values():
            assert each.name.startswith(connector.name)
