"""Read a setting from the app's settings or, for a secret, from the Key Vault.

Only "not found" means that a secret is absent; any other failure is an error. Secrets are cached
for the process, and read again once a credential fails, at most once a minute:
https://learn.microsoft.com/azure/key-vault/secrets/secrets-best-practices
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar
from urllib.parse import urlsplit

from shared.azure.identity import credential
from shared.errors import SettingsError
from shared.runtime.process import on_reset
from shared.runtime.timeout import call_with_timeout
from shared.settings.setting import vault_name

REFRESH_SECONDS = 60.0
_TIMEOUT_SECONDS = 6.0
Result = TypeVar("Result")

logger = logging.getLogger("connectors.settings")
_lock = threading.Lock()
_refreshing = threading.Lock()
_secrets: dict[str, str | None] = {}
_read_at: dict[str, float] = {}


def environment(name: str) -> str | None:
    """Return the app setting, stripped; None if it is absent or empty."""
    return os.environ.get(name, "").strip() or None


def uri() -> str | None:
    """Return the vault's address, None if it is not set; raises SettingsError if it is invalid."""
    value = environment("KeyVaultUri")
    if value is None:
        return None
    if urlsplit(value).scheme != "https" or not urlsplit(value).hostname:
        raise SettingsError(["KeyVaultUri must be like https://acme-vault.vault.azure.net"])
    return value.rstrip("/")


def lookup(name: str, *, secret: bool) -> str | None:
    """Return the setting's text, None if it is set nowhere.

    Raises SettingsError if the vault fails.
    """
    value = environment(name)
    if value is not None or not secret or uri() is None:
        return value
    with _lock:
        if name not in _secrets:
            _secrets[name] = _read(name)
            _read_at[name] = time.monotonic()
        elif _secrets[name] is None and _may_refresh(_read_at[name]):
            _secrets[name] = _read_again([name]).get(name)
        return _secrets[name]


def refresh_secrets() -> bool:
    """Read the cached secrets again after a credential failed; return whether any has changed.

    At most once a minute, and in one thread, while the others use the cached ones. If the vault
    does not answer, the cached secrets stay in use.
    """
    if not _refreshing.acquire(blocking=False):
        return False
    try:
        with _lock:
            before = dict(_secrets)
            if not before or not _may_refresh(max(_read_at.values())):
                return False
        fresh = _read_again(before)
        with _lock:
            _secrets.update(fresh)
        return any(before[name] != value for name, value in fresh.items())
    finally:
        _refreshing.release()


def _read_again(names: Iterable[str]) -> dict[str, str | None]:
    """Read the secrets again; return {} if the vault does not answer."""
    names = list(names)
    _read_at.update(dict.fromkeys(names, time.monotonic()))
    try:
        return {name: _read(name) for name in names}
    except SettingsError as error:
        logger.warning("The secrets read before stay in use: %s", error)
        return {}


def with_vault_timeout(func: Callable[[], Result]) -> Result:
    """Return ``func()``, which reads settings while a webhook's sender waits.

    Raises SettingsError if a vault is set and ``func`` takes longer than 6 s.
    """
    if uri() is None:
        return func()
    try:
        return call_with_timeout(_TIMEOUT_SECONDS, func)
    except TimeoutError as error:
        problem = f"KeyVaultUri: the vault did not answer within {_TIMEOUT_SECONDS:g} s"
        raise SettingsError([problem]) from error


def _may_refresh(read_at: float) -> bool:
    return time.monotonic() - read_at >= REFRESH_SECONDS


@on_reset
def forget_secrets() -> None:
    """Drop every cached secret, for settings that have changed."""
    _secrets.clear()
    _read_at.clear()


def _read(name: str) -> str | None:
    from azure.core.exceptions import AzureError, ResourceNotFoundError
    from azure.keyvault.secrets import SecretClient

    vault_uri = uri() or ""
    loopback = urlsplit(vault_uri).hostname in ("localhost", "127.0.0.1", "::1")
    try:
        # The challenge names vault.azure.net; a vault on loopback is outside that domain.
        with SecretClient(
            vault_uri,
            credential(),
            verify_challenge_resource=not loopback,
            retry_total=2,
            retry_backoff_factor=0.5,
            connection_timeout=5,
            read_timeout=10,
        ) as client:
            return (client.get_secret(vault_name(name)).value or "").strip() or None
    except ResourceNotFoundError:
        return None
    except AzureError as error:
        status = getattr(error, "status_code", None)
        why = f"HTTP {status}" if status else type(error).__name__
        raise SettingsError(
            [
                f"{name} could not be read from KeyVaultUri ({why}): check the address, the "
                "network, and that the app's identity has the role Key Vault Secrets User"
            ]
        ) from error
