"""Read a setting from the app's settings or, for a secret, from the Key Vault.

Unknown is not absent: only "not found" means that a secret is absent, and any other failure leaves
it unknown. Secrets are read side by side, within one deadline that all callers share, and renewed
in the background; a value stays good for a day while the vault fails. After a credential failed
they are read again, at most once a minute:
https://learn.microsoft.com/azure/key-vault/secrets/secrets-best-practices
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.azure.identity import credential
from shared.errors import ConnectorError, SettingsError, error_boundary
from shared.runtime.process import on_reset, process_singleton
from shared.settings import checks
from shared.settings.setting import vault_name

REFERENCE = "@Microsoft.KeyVault("
REFRESH_SECONDS = 60.0
# Deadlines from the beginning of a read, so that a vault that hangs delays one caller, not each.
# A sender waits for a post's answer; a timer can wait for imports and sign-in of a cold start.
POST_SECONDS = 2.0
WAIT_SECONDS = 10.0
RENEW_SECONDS = 3600.0
GOOD_SECONDS = 86_400.0
# After a failed read of a secret that is not known yet.
RETRY_SECONDS = 10.0
_READERS = 8
_EXAMPLE = "https://acme-vault.vault.azure.net"

logger = logging.getLogger("connectors.settings")


@dataclass(slots=True)
class _Secret:
    """A secret; its times are readings of ``time.monotonic``.

    ``value`` was read at ``read_at``, None for absent; ``error`` is why the last read failed.
    """

    value: str | None = None
    read_at: float | None = None
    tried_at: float = float("-inf")
    error: str = ""
    reading: Future[None] | None = None

    @property
    def known(self) -> bool:
        return self.read_at is not None and time.monotonic() - self.read_at < GOOD_SECONDS

    @property
    def in_flight(self) -> bool:
        return self.reading is not None and not self.reading.done()


_lock = threading.Lock()
_secrets: dict[str, _Secret] = {}


@process_singleton
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_READERS, thread_name_prefix="key-vault")


def environment(name: str) -> str | None:
    """Return the app setting, stripped; None if it is absent or empty.

    On Linux ``KEYVAULTURI`` is no ``KeyVaultUri``, as a person who types it in the portal does not
    expect: where the exact name is absent, one that differs by case alone is meant.
    """
    exact = os.environ.get(name, "").strip()
    if exact:
        return exact
    lower = name.lower()
    alike = sorted(other for other in os.environ if other.lower() == lower)
    return next(filter(None, (os.environ[other].strip() for other in alike)), None)


def uri() -> str | None:
    """Return the vault's address, None if it is not set; raises SettingsError if it is invalid."""
    value = environment("KeyVaultUri")
    if value is None:
        return None
    try:
        address = checks.https_url(value, _EXAMPLE)
    except ValueError as error:
        raise SettingsError([f"KeyVaultUri {error}"]) from None
    if urlsplit(address).scheme != "https" or urlsplit(address).path:
        # With a secret's own address, each secret would be "not found".
        raise SettingsError([f"KeyVaultUri must be the vault's address alone, like {_EXAMPLE}"])
    return address


def lookup(name: str, *, secret: bool) -> str | None:
    """Return the setting's text, None if it is set nowhere.

    A Key Vault reference that did not resolve counts as absent, and is returned as it is where the
    vault has no such secret either. Raises SettingsError while a secret is unknown.
    """
    value = environment(name)
    reference = value is not None and value.startswith(REFERENCE)
    if (value is not None and not reference) or not (secret or reference) or uri() is None:
        return value
    prefetch([name])
    with _lock:
        found = _secrets[name]
        if found.known:
            return found.value or value
    raise SettingsError([why_unknown(name)])


def prefetch(names: Iterable[str], *, seconds: float = WAIT_SECONDS) -> None:
    """Read the secrets that are neither app settings nor known, side by side.

    Wait until ``seconds`` after the beginning of their read. Renew old ones without waiting. Raises
    SettingsError for an invalid address.
    """
    if uri() is None:
        return
    with _lock:
        now = time.monotonic()
        wanted = {name: _secrets.setdefault(name, _Secret()) for name in _not_set(names)}
        unknown = {name: each for name, each in wanted.items() if not each.known}
        old = {
            name: each
            for name, each in wanted.items()
            if each.known and now - (each.read_at or now) >= RENEW_SECONDS
        }
        _start(unknown, RETRY_SECONDS)
        _start(old, REFRESH_SECONDS)
    _wait_for(unknown.values(), seconds)


def is_known(name: str) -> bool:
    """Return whether the setting's text, or its absence, is known without waiting."""
    if not list(_not_set([name])) or uri() is None:
        return True
    with _lock:
        found = _secrets.get(name)
        return found is not None and found.known


def is_certain(name: str) -> bool:
    """Return whether the setting is known, and no later read of it failed or is under way."""
    if not is_known(name):
        return False
    with _lock:
        found = _secrets.get(name)
        return found is None or not (found.error or found.in_flight)


def why_unknown(name: str) -> str:
    """Return why the value of a secret is not known."""
    with _lock:
        found = _secrets.get(name)
        error = found.error if found else ""
    return error or f"{name} is unknown: KeyVaultUri has not answered yet"


def doubts() -> list[str]:
    """Return a sentence for each secret whose last read failed: unknown, or known from before."""
    with _lock:
        failed = {name: each for name, each in _secrets.items() if each.error}
        return [
            f"{name} is known from before only: {each.error}" if each.known else each.error
            for name, each in failed.items()
        ]


def refresh_secrets(*, seconds: float = WAIT_SECONDS) -> bool:
    """Read every secret again after a credential failed; return whether any has changed.

    Each at most once a minute; wait until ``seconds`` after the read began, also where another
    thread began it. If the vault does not answer, the known secrets stay in use.
    """
    with _lock:
        every = dict(_secrets)
        before = {name: each.value for name, each in every.items() if each.known}
        if not every:
            return False
        _start(every, REFRESH_SECONDS)
    _wait_for(every.values(), seconds)
    with _lock:
        after = {name: each.value for name, each in every.items() if each.known}
    return any(before.get(name) != value for name, value in after.items())


def _not_set(names: Iterable[str]) -> Iterable[str]:
    """Yield the names that are no app settings; an unresolved reference is none."""
    for name in names:
        value = environment(name)
        if value is None or value.startswith(REFERENCE):
            yield name


def _start(secrets: dict[str, _Secret], pause: float) -> None:
    """Begin to read ``secrets`` that were not tried within ``pause`` seconds; holds the lock."""
    now = time.monotonic()
    for name, secret in secrets.items():
        if not secret.in_flight and now - secret.tried_at >= pause:
            secret.tried_at = now
            secret.reading = _readers().submit(_read_into, name, secret)


def _wait_for(secrets: Iterable[_Secret], seconds: float) -> None:
    with _lock:
        pending = [(each.reading, each.tried_at) for each in secrets if each.in_flight]
    if pending:
        until = max(tried_at for _, tried_at in pending) + seconds
        reads = [reading for reading, _ in pending if reading is not None]
        wait(reads, timeout=max(until - time.monotonic(), 0.0))


def _read_into(name: str, secret: _Secret) -> None:
    try:
        with error_boundary():
            value = _read(name)
    except ConnectorError as error:
        with _lock:
            known = isinstance(error, SettingsError)
            secret.error = str(error) if known else f"{name} could not be read: {error}"
        if secret.known:
            logger.warning("The secrets read before stay in use: %s", error)
        return
    with _lock:
        secret.value, secret.read_at, secret.error = value, time.monotonic(), ""


@on_reset
def forget_secrets() -> None:
    """Drop every cached secret, for settings that have changed."""
    with _lock:
        _secrets.clear()


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
    except (AzureError, ValueError) as error:
        # ValueError: a challenge of another domain than the vault's, or a sign-in without JSON.
        status = getattr(error, "status_code", None)
        why = f"HTTP {status}" if status else type(error).__name__
        raise SettingsError(
            [
                f"{name} could not be read from KeyVaultUri ({why}): check the address, the "
                "network, and that the app's identity has the role Key Vault Secrets User"
            ]
        ) from error
