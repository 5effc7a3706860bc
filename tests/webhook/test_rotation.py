"""A token that changes in the Key Vault, through Microsoft's own client over TLS."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.loopback.certificates import Certificates
from local.loopback.faults import FOREVER, answer, silence
from shared.settings import key_vault as vault
from tests.settings.test_key_vault import Vault
from tests.webhook.posts import events, post


@pytest.fixture
def key_vault(
    onelogin: AzureMonitor, tls: Certificates, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Vault]:
    """A vault that holds the token, which is no app setting."""
    monkeypatch.delenv("OneLoginBearerToken")
    place = Vault(onelogin.identity, tls)
    place.secrets["OneLoginBearerToken"] = "old"
    with place.server:
        monkeypatch.setenv("KeyVaultUri", place.server.url)
        yield place


def status(token: str) -> int:
    answer: int = post(events(1), authorization=f"Bearer {token}").status_code
    return answer


def test_a_changed_token_is_found_after_a_mismatch(
    key_vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vault is read again when a token does not match, so a rotation needs no restart."""
    assert [status("old"), status("new")] == [200, 401]
    key_vault.secrets["OneLoginBearerToken"] = "new"
    assert status("new") == 401  # read less than a minute ago
    monkeypatch.setattr(vault, "REFRESH_SECONDS", 0.0)
    assert [status("new"), status("old")] == [200, 401]


def test_wrong_tokens_do_not_hammer_the_vault(key_vault: Vault) -> None:
    """Wrong tokens cause at most one read of the vault a minute."""
    status("old")
    reads = key_vault.server.count("OneLoginBearerToken/")
    assert [status("wrong") for _ in range(5)] == [401] * 5
    assert key_vault.server.count("OneLoginBearerToken/") == reads


def test_a_vault_that_fails_is_no_open_door(
    key_vault: Vault, caplog: pytest.LogCaptureFixture
) -> None:
    """While the vault does not answer, every request gets 503 and may be sent again."""
    key_vault.server.faults.add("/secrets/", answer(403), times=FOREVER)
    assert status("old") == 503
    assert "KeyVaultUri" in caplog.text


@pytest.mark.slow
def test_a_vault_that_never_answers_costs_seconds(key_vault: Vault) -> None:
    """A silent vault costs seconds, not the sender's whole timeout."""
    key_vault.server.faults.add("/secrets/", silence(), times=FOREVER)
    began = time.monotonic()
    assert status("old") == 503
    assert time.monotonic() - began < 10
