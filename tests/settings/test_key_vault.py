"""Secrets from Key Vault, through Microsoft's own client and sign-in over TLS."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from aiohttp import web

from local.azure.entra import Identity, TokenRefused
from local.loopback.certificates import Certificates
from local.loopback.faults import FOREVER, Fault, Handler, answer
from local.loopback.server import LocalServer, json_answer
from shared.connections.opening import valid_tokens
from shared.connectors.onelogin import CONNECTOR, OneLoginSettings
from shared.connectors.sentinelone import SentinelOneSettings
from shared.errors import SettingsError
from shared.settings import key_vault as vault
from shared.settings.reader import read_if_set

VAULT = "https://vault.azure.net"


class Vault:
    """A vault on loopback that sends Key Vault's challenge, and secrets to the app's identity."""

    def __init__(self, identity: Identity, tls: Certificates) -> None:
        self.secrets: dict[str, str] = {}
        self._identity = identity
        route = web.get("/secrets/{name}/{version:.*}", self._secret)
        self.server = LocalServer([route], tls=tls.server_context())
        self._released = threading.Event()

    def hang(self) -> None:
        """Take requests and answer none until ``release``."""

        async def hold(_request: web.Request, _handler: Handler) -> web.StreamResponse:
            await asyncio.to_thread(self._released.wait, 30)
            return json_answer({"error": {"code": "Forbidden", "message": "too late"}}, 403)

        self._released.clear()
        self.server.faults.add("/secrets/", Fault("hang", hold), times=FOREVER)

    def release(self) -> None:
        """Refuse the requests that hang, and wait until the app knows; answer further ones."""
        self._released.set()
        self.server.faults.clear()
        vault.refresh_secrets(seconds=30)

    async def _secret(self, request: web.Request) -> web.Response:
        try:
            self._identity.caller(request.headers.get("Authorization", ""), VAULT)
        except TokenRefused:
            authority = f"{self._identity.authority}/11111111-2222-3333-4444-555555555555"
            challenge = f'Bearer authorization="{authority}", resource="{VAULT}"'
            return json_answer({}, 401, {"WWW-Authenticate": challenge})
        name = request.match_info["name"]
        if name not in self.secrets:
            return json_answer({"error": {"code": "SecretNotFound", "message": "no"}}, 404)
        place = f"{self.server.url}/secrets/{name}/0123"
        return json_answer({"id": place, "value": self.secrets[name], "attributes": {}})


@pytest.fixture
def key_vault(
    identity: Identity, tls: Certificates, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Vault]:
    place = Vault(identity, tls)
    with place.server:
        monkeypatch.setenv("KeyVaultUri", place.server.url)
        yield place


def tokens() -> tuple[str, ...]:
    found = valid_tokens(CONNECTOR)
    assert found is not None
    return found


def test_a_secret_that_is_no_app_setting_is_looked_up_by_its_name(key_vault: Vault) -> None:
    """The setting's name is the secret's name."""
    key_vault.secrets["OneLoginBearerToken"] = "a-token-from-the-vault"
    assert tokens() == ("a-token-from-the-vault",)


def test_an_app_setting_wins_over_the_vault(
    key_vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app setting has precedence, and the vault is not asked for it."""
    key_vault.secrets["OneLoginBearerToken"] = "a-token-from-the-vault"
    monkeypatch.setenv("OneLoginBearerToken", "a-token-from-the-portal")
    assert tokens() == ("a-token-from-the-portal",)
    assert key_vault.server.count("OneLoginBearerToken/") == 0


def test_not_found_means_absent(key_vault: Vault) -> None:
    """A connector without its secret anywhere is off."""
    assert read_if_set(OneLoginSettings) is None


def test_a_connector_that_is_off_asks_no_vault(key_vault: Vault) -> None:
    """Without its address a connector is off, and its token is not looked up."""
    assert read_if_set(SentinelOneSettings) is None
    assert key_vault.server.count() == 0


@pytest.mark.parametrize("status", [403, 429, 500])
def test_any_other_failure_is_an_error_that_says_so(key_vault: Vault, status: int) -> None:
    """A vault that fails raises: the connector must not look as if it were off."""
    key_vault.server.faults.add("/secrets", answer(status, headers={"Retry-After": "0"}), times=99)
    with pytest.raises(SettingsError, match=r"OneLoginBearerToken .* KeyVaultUri") as raised:
        read_if_set(OneLoginSettings)
    assert "Key Vault Secrets User" in str(raised.value)


def test_a_secret_is_read_once_a_process(key_vault: Vault) -> None:
    """A secret is cached, since Key Vault limits its callers."""
    key_vault.secrets["OneLoginBearerToken"] = "the-one-bearer-token"
    assert tokens() == tokens() == ("the-one-bearer-token",)
    assert key_vault.server.count("OneLoginBearerToken/") <= 2  # the challenge, and the answer


def test_a_changed_secret_is_read_again_at_most_once_a_minute(
    key_vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a wrong token the vault is read again, at most once a minute."""
    key_vault.secrets["OneLoginBearerToken"] = "the-old-bearer-token"
    assert tokens() == ("the-old-bearer-token",)
    key_vault.secrets["OneLoginBearerToken"] = "the-new-bearer-token"
    assert not vault.refresh_secrets()
    monkeypatch.setattr(vault, "REFRESH_SECONDS", 0.0)
    assert vault.refresh_secrets()
    assert tokens() == ("the-new-bearer-token",)


def test_a_vault_that_fails_takes_no_token_away(
    key_vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong token during the vault's outage leaves the right one valid."""
    key_vault.secrets["OneLoginBearerToken"] = "the-right-bearer-token"
    assert tokens() == ("the-right-bearer-token",)
    monkeypatch.setattr(vault, "REFRESH_SECONDS", 0.0)
    key_vault.server.faults.add("/secrets", answer(403), times=99)
    assert not vault.refresh_secrets()
    assert tokens() == ("the-right-bearer-token",)


def test_without_a_vault_there_is_nothing_to_read_again() -> None:
    """A token in a plain app setting causes no read of the vault."""
    assert not vault.refresh_secrets()


def test_a_vault_that_is_no_address_is_named(
    key_vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting's name begins the message."""
    for wrong in (
        "acme-vault",
        "https://[",
        "https://acme:port",
        "http://127.0.0.1",
        # A secret's own address: below it, every secret would be absent.
        "https://acme-vault.vault.azure.net/secrets/OneLoginBearerToken",
    ):
        monkeypatch.setenv("KeyVaultUri", wrong)
        with pytest.raises(SettingsError, match=r"^KeyVaultUri (must be|is no address)"):
            read_if_set(OneLoginSettings)


def test_a_sign_in_that_no_vault_asks_for_is_told(key_vault: Vault) -> None:
    """The SDK's error for it is none of its own tree: it was lost, and the vault said to be slow.

    A proxy or a page in the vault's place answers so.
    """
    challenge = {"WWW-Authenticate": 'Bearer realm="proxy"'}
    key_vault.server.faults.add("/secrets/", answer(401, headers=challenge), times=FOREVER)
    with pytest.raises(SettingsError, match="could not be read from KeyVaultUri"):
        read_if_set(OneLoginSettings)


def test_secrets_are_read_side_by_side(key_vault: Vault) -> None:
    """Two secrets take the time of one, within the one deadline."""
    at_once, most = 0, 0

    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.5)
        at_once -= 1
        return await handler(request)

    key_vault.secrets["OneLoginBearerToken"] = "the-one-bearer-token"
    key_vault.server.faults.add("/secrets", Fault("count", count), times=FOREVER)
    assert tokens() == ("the-one-bearer-token",)
    assert most == 2


def grow_older(hours: float) -> None:
    """What was read from the vault was read so much earlier."""
    for secret in vault._secrets.values():
        if secret.read_at is not None:
            secret.read_at -= hours * 3600


def test_a_known_secret_is_good_for_a_day(
    key_vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the vault fails a secret stays in use, and after a day it is unknown."""
    key_vault.secrets["OneLoginBearerToken"] = "the-one-bearer-token"
    assert tokens() == ("the-one-bearer-token",)
    key_vault.server.faults.add("/secrets", answer(403), times=FOREVER)
    monkeypatch.setattr(vault, "RENEW_SECONDS", 0.0)
    assert tokens() == tokens() == ("the-one-bearer-token",)
    monkeypatch.setattr(vault, "RETRY_SECONDS", 0.0)
    grow_older(hours=23)
    assert tokens() == ("the-one-bearer-token",)
    grow_older(hours=2)
    with pytest.raises(SettingsError, match="KeyVaultUri"):
        tokens()


def test_an_old_secret_is_renewed_in_the_background(
    key_vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller gets the known value at once, and a later one the new value."""
    key_vault.secrets["OneLoginBearerToken"] = "the-old-bearer-token"
    assert tokens() == ("the-old-bearer-token",)
    key_vault.secrets["OneLoginBearerToken"] = "the-new-bearer-token"
    monkeypatch.setattr(vault, "RENEW_SECONDS", 0.0)
    monkeypatch.setattr(vault, "REFRESH_SECONDS", 0.0)
    tokens()
    monkeypatch.setattr(vault, "REFRESH_SECONDS", 60.0)
    assert vault.refresh_secrets() or tokens() == ("the-new-bearer-token",)
    assert tokens() == ("the-new-bearer-token",)


REFERENCE = "@Microsoft.KeyVault(SecretUri=https://acme.vault.azure.net/secrets/x)"


def test_a_reference_that_did_not_resolve_is_read_from_the_vault(
    key_vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text that arrived counts as absent, so the vault is asked by the setting's name."""
    monkeypatch.setenv("OneLoginBearerToken", REFERENCE)
    key_vault.secrets["OneLoginBearerToken"] = "a-token-from-the-vault"
    assert tokens() == ("a-token-from-the-vault",)


def test_a_reference_is_named_where_the_vault_has_no_such_secret_either(
    key_vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person is told both places."""
    monkeypatch.setenv("OneLoginBearerToken", REFERENCE)
    with pytest.raises(SettingsError, match=r"^OneLoginBearerToken is a Key Vault .* nor is it in"):
        read_if_set(OneLoginSettings)


def test_a_named_settings_secret_has_dashes_for_underscores(key_vault: Vault) -> None:
    """Key Vault allows no underscore in a name."""
    key_vault.secrets["SentinelOneAPIToken--emea"] = "a-token"
    assert vault.lookup("SentinelOneAPIToken__emea", secret=True) == "a-token"


def test_a_secret_that_cannot_be_read_keeps_no_other_from_being_read_again(
    key_vault: Vault,
) -> None:
    """Each secret has a minute of its own: one that was tried just now delays no other."""
    key_vault.secrets["SentinelOneAPIToken"] = "an-old-token"
    assert vault.lookup("SentinelOneAPIToken", secret=True) == "an-old-token"
    key_vault.secrets["SentinelOneAPIToken"] = "a-new-token"
    vault._secrets["SentinelOneAPIToken"].tried_at -= vault.REFRESH_SECONDS
    key_vault.server.faults.add("/secrets/JiraAccessToken", answer(403))
    with pytest.raises(SettingsError):
        vault.lookup("JiraAccessToken", secret=True)
    assert vault.refresh_secrets()
    assert vault.lookup("SentinelOneAPIToken", secret=True) == "a-new-token"
