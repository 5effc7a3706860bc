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
    place.secrets["OneLoginBearerToken"] = OLD
    with place.server:
        monkeypatch.setenv("KeyVaultUri", place.server.url)
        yield place


OLD = "the-old-bearer-token"
NEW = "the-new-bearer-token"


def status(token: str) -> int:
    answer: int = post(events(1), authorization=f"Bearer {token}").status_code
    return answer


def test_a_changed_token_is_found_after_a_mismatch(
    key_vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vault is read again when a token does not match, so a rotation needs no restart."""
    assert [status(OLD), status(NEW)] == [200, 401]
    key_vault.secrets["OneLoginBearerToken"] = NEW
    assert status(NEW) == 401  # read less than a minute ago
    monkeypatch.setattr(vault, "REFRESH_SECONDS", 0.0)
    assert [status(NEW), status(OLD)] == [200, 401]


def test_wrong_tokens_do_not_hammer_the_vault(key_vault: Vault) -> None:
    """Wrong tokens cause at most one read of the vault a minute."""
    status(OLD)
    reads = key_vault.server.count("OneLoginBearerToken/")
    assert [status("wrong") for _ in range(5)] == [401] * 5
    assert key_vault.server.count("OneLoginBearerToken/") == reads


def test_a_vault_that_fails_is_no_open_door(
    key_vault: Vault, caplog: pytest.LogCaptureFixture
) -> None:
    """While the vault does not answer, every request gets 503 and may be sent again."""
    key_vault.server.faults.add("/secrets/", answer(403), times=FOREVER)
    assert status(OLD) == 503
    assert "KeyVaultUri" in caplog.text


@pytest.mark.slow
def test_a_vault_that_never_answers_costs_seconds(key_vault: Vault) -> None:
    """A silent vault costs seconds, not the sender's whole timeout."""
    key_vault.server.faults.add("/secrets/", silence(), times=FOREVER)
    began = time.monotonic()
    assert status(OLD) == 503
    assert time.monotonic() - began < 10


@pytest.fixture
def silent_vault(key_vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    """A vault that takes requests and never answers; a post waits a quarter of a second for it."""
    monkeypatch.setattr(vault, "POST_SECONDS", 0.25)
    key_vault.hang()
    yield key_vault
    key_vault.release()


def test_a_token_in_the_settings_waits_for_no_vault(
    silent_vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a cold start on it is valid whatever the vault does, though the second is unknown."""
    monkeypatch.setattr(vault, "POST_SECONDS", 60.0)
    monkeypatch.setenv("OneLoginBearerToken", OLD)
    began = time.monotonic()
    assert [status(OLD) for _ in range(3)] == [200] * 3
    assert time.monotonic() - began < 10


def test_an_unknown_token_is_not_a_wrong_one(
    silent_vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that fits none is answered 503 while the second one cannot be read, then 200."""
    monkeypatch.setenv("OneLoginBearerToken", OLD)
    silent_vault.secrets["OneLoginBearerTokenSecondary"] = NEW
    assert [status(NEW), status(OLD)] == [503, 200]
    silent_vault.release()
    vault.forget_secrets()
    monkeypatch.setattr(vault, "POST_SECONDS", 10.0)
    assert [status(NEW), status("wrong")] == [200, 401]


def test_a_vault_that_hangs_takes_no_valid_token_away(
    key_vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a rotation the known token stays valid, the new one is answered 503."""
    assert status(OLD) == 200
    monkeypatch.setattr(vault, "POST_SECONDS", 0.25)
    monkeypatch.setattr(vault, "REFRESH_SECONDS", 0.0)
    key_vault.secrets["OneLoginBearerToken"] = NEW
    key_vault.hang()
    assert [status(NEW), status(OLD), status(NEW), status(OLD)] == [503, 200, 503, 200]
    key_vault.release()


def test_a_vault_that_fails_in_a_rotation_makes_no_token_wrong(
    key_vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new token is asked for again until the vault tells it."""
    assert status(OLD) == 200
    monkeypatch.setattr(vault, "REFRESH_SECONDS", 0.0)
    key_vault.secrets["OneLoginBearerToken"] = NEW
    key_vault.server.faults.add("/secrets/", answer(403), times=FOREVER)
    assert [status(NEW), status(OLD)] == [503, 200]
    key_vault.server.faults.clear()
    assert [status(NEW), status(OLD)] == [200, 401]


def test_only_one_request_waits_for_a_vault_that_hangs(silent_vault: Vault) -> None:
    """The deadline is the read's, which all requests share."""
    assert status(OLD) == 503
    began = time.monotonic()
    assert [status(OLD) for _ in range(5)] == [503] * 5
    assert time.monotonic() - began < 1.0


def test_a_missing_second_token_costs_nothing(key_vault: Vault) -> None:
    """That it is absent is known after the first post, and good for as long as the other."""
    assert status(OLD) == 200
    asked = key_vault.server.count("/secrets/")
    assert [status(OLD) for _ in range(5)] == [200] * 5
    assert key_vault.server.count("/secrets/") == asked
