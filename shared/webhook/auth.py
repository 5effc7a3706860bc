"""Check the bearer token of a webhook request, in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from shared.connections.opening import read_tokens
from shared.errors import SettingsError
from shared.settings import key_vault
from shared.source.connector import Connector


def authorized(header: str, connector: Connector) -> bool:
    """Return whether an ``Authorization`` header has one of the connector's tokens.

    A known token waits for no vault. Raises ``SettingsError`` where no token is set, and where the
    one given may be a token that the vault does not tell now: unknown is not wrong. The scheme
    matches in any case: https://www.rfc-editor.org/rfc/rfc9110#section-11.1
    """
    scheme, _, token = header.partition(" ")
    given = token.strip().encode("utf-8", "surrogatepass")
    if _is_one_of(given, read_tokens(connector, seconds=0.0).valid) or _is_read_now(
        given, connector
    ):
        return scheme.lower() == "bearer"
    return False


def _is_read_now(given: bytes, connector: Connector) -> bool:
    """Read what is not known, then what may have changed, and compare after each."""
    tokens = read_tokens(connector, seconds=key_vault.POST_SECONDS)
    if _is_one_of(given, tokens.valid):
        return True
    if (given or tokens.problems) and key_vault.refresh_secrets(seconds=key_vault.POST_SECONDS):
        tokens = read_tokens(connector, seconds=0.0)
        if _is_one_of(given, tokens.valid):
            return True
    if tokens.problems or tokens.unknown:
        raise SettingsError([*tokens.problems, *tokens.unknown])
    uncertain = [name for name in tokens.settings if not key_vault.is_certain(name)]
    if given and uncertain:
        raise SettingsError([key_vault.why_unknown(name) for name in uncertain])
    return False


def _is_one_of(given: bytes, tokens: Sequence[str]) -> bool:
    """Compare with every token, so that the time taken tells nothing about any of them."""
    found = False
    for token in tokens:
        found |= hmac.compare_digest(given, token.encode("utf-8"))
    return found
