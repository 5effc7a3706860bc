"""Posts to several connections of one webhook: the token tells which."""

from __future__ import annotations

from collections import Counter

import pytest

import OneLoginWebhook
from local.azure.logs_ingestion import AzureMonitor
from local.loopback.faults import FOREVER, answer
from shared.azure import storage
from shared.delivery.spool import QUEUE, Message
from shared.health.webhook import health_of
from shared.state.rows import checkpoint_rows
from tests.connections.consoles import Consoles
from tests.webhook.posts import STREAM, events, post

SETTING = "OneLoginBearerToken"


@pytest.fixture
def tokens(consoles: Consoles, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The app with a token without a name, and one of emea."""
    OneLoginWebhook._webhook.cache_clear()
    monkeypatch.setenv(SETTING, "the-token-without-a-name")
    monkeypatch.setenv(f"{SETTING}__emea", "the-token-of-emea")
    return monkeypatch


def status(token: str, number: int = 1) -> int:
    answered = post(events(1, number), authorization=f"Bearer {token}")
    return int(answered.status_code)


def whose(monitor: AzureMonitor) -> Counter[tuple[str, str]]:
    return Counter(
        (record["uuid"], record.get("AdditionalFields", {}).get("Connection", ""))
        for record in monitor.records(STREAM)
    )


def test_the_token_tells_the_connection(
    tokens: pytest.MonkeyPatch, azure_monitor: AzureMonitor
) -> None:
    """Its secondary token too; one that is nobody's is refused."""
    tokens.setenv(f"{SETTING}Secondary__emea", "the-second-token-of-emea")
    assert status("the-token-without-a-name", 1) == 200
    assert status("the-token-of-emea", 2) == 200
    assert status("the-second-token-of-emea", 3) == 200
    assert status("nobodys", 4) == 401
    assert whose(azure_monitor) == {
        ("uuid-1", ""): 1,
        ("uuid-2", "emea"): 1,
        ("uuid-3", "emea"): 1,
    }


def test_an_id_is_a_repeat_within_its_connection_alone(
    tokens: pytest.MonkeyPatch, azure_monitor: AzureMonitor
) -> None:
    """Two accounts may use the same one."""
    for token in ("the-token-without-a-name", "the-token-of-emea"):
        assert status(token) == 200
        assert status(token) == 200
    assert whose(azure_monitor) == {("uuid-1", ""): 1, ("uuid-1", "emea"): 1}


def test_two_connections_with_one_token_are_an_error(
    tokens: pytest.MonkeyPatch, azure_monitor: AzureMonitor, caplog: pytest.LogCaptureFixture
) -> None:
    """Its posts wait, and both are named; a third connection is well."""
    tokens.setenv(f"{SETTING}__apac", "the-token-of-emea")
    assert status("the-token-of-emea") == 503
    assert "one token is that of the connection apac and the connection emea" in caplog.text
    assert "the-token-of-emea" not in caplog.text
    assert status("the-token-without-a-name") == 200


def test_a_named_connection_needs_no_other(
    tokens: pytest.MonkeyPatch, azure_monitor: AzureMonitor
) -> None:
    """The one without a name may be absent."""
    tokens.delenv(SETTING)
    assert status("the-token-of-emea") == 200
    assert status("nobodys") == 401


def test_an_outage_of_its_destination_spools_with_its_connection(
    tokens: pytest.MonkeyPatch, azure_monitor: AzureMonitor
) -> None:
    """So that DeliveryRetry finds the way back to it."""
    azure_monitor.faults.add("/streams/", answer(403), times=FOREVER)
    assert status("the-token-of-emea") == 200
    (message,) = storage.queue(QUEUE).peek_messages()
    assert Message.read(message.content).connection == "emea"


def test_each_connection_has_its_own_history(
    tokens: pytest.MonkeyPatch, azure_monitor: AzureMonitor
) -> None:
    """The one without a name keeps the row that it had."""
    assert status("the-token-of-emea") == 200
    health_of(STREAM, "emea").history.flush()
    assert STREAM in checkpoint_rows("OneLogin__emea:webhook")
    assert checkpoint_rows("OneLogin:webhook") == {}
