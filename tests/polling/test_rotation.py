"""A token that changes in the Key Vault between two runs, read through Microsoft's own client."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

import shared.azure.storage
from local.azure.logs_ingestion import AzureMonitor
from local.loopback.certificates import Certificates
from local.vendors.sentinelone import SentinelOne
from shared.errors import RunFailed
from shared.settings import key_vault as vault
from shared.state.checkpoint import TABLE
from shared.telemetry.run import RunState
from tests.polling.timers import activities, arrived, poll_sentinelone
from tests.settings.test_key_vault import Vault

pytestmark = pytest.mark.usefixtures("settings_env")

TOKEN = "SentinelOneAPIToken"


@pytest.fixture
def key_vault(
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    tls: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Vault]:
    """A vault that holds SentinelOne's token, which is no app setting."""
    monkeypatch.delenv(TOKEN)
    monkeypatch.setattr(vault, "REFRESH_SECONDS", 0.0)
    server = Vault(azure_monitor.identity, tls)
    server.secrets[TOKEN] = sentinelone.token
    with server.server:
        monkeypatch.setenv("KeyVaultUri", server.server.url)
        yield server


def test_a_rotated_token_is_read_again_once_and_serves_the_rest_of_the_run(
    sentinelone: SentinelOne,
    azure_monitor: AzureMonitor,
    key_vault: Vault,
    only: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The first refused stream reconnects; no error is left in its status, its row or the log."""
    only("activities,threats")
    poll_sentinelone()
    sentinelone.add("activities", activities(range(3), seconds=30))
    sentinelone.token = key_vault.secrets[TOKEN] = "the-new-token"
    reads = key_vault.server.count(f"{TOKEN}/")
    caplog.clear()
    runs = poll_sentinelone()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    checkpoints = shared.azure.storage.table(TABLE).list_entities()
    assert not any("lastError" in str(row.get("history")) for row in checkpoints)
    health = azure_monitor.records("Custom-ConnectorHealth")
    assert {(row["Status"], row["ErrorClass"]) for row in health} == {("ok", "")}
    assert [(run.status, run.error_class) for run in runs.values()] == [(RunState.OK, "")] * 2
    assert sum(arrived(azure_monitor).values()) == 3
    assert key_vault.server.count(f"{TOKEN}/") == reads + 1


def test_a_refused_token_that_is_not_rotated_fails_the_run(
    sentinelone: SentinelOne, key_vault: Vault, only: Callable[[str], None]
) -> None:
    """The vault still holds the refused token: the stream fails with the vendor's answer."""
    only("activities")
    poll_sentinelone()
    sentinelone.token = "a token that the vault does not have"
    with pytest.raises(RunFailed, match="401"):
        poll_sentinelone()
    assert key_vault.secrets[TOKEN] != sentinelone.token
