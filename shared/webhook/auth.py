"""Check the bearer token of a webhook request, in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

from shared.errors import SettingsError
from shared.settings import key_vault


def authorized(header: str, setting: str, tokens: Callable[[], Sequence[str] | None]) -> bool:
    """Return whether an ``Authorization`` header has one of ``tokens()``.

    Raises ``SettingsError``, which names ``setting``, if no token is set. The scheme matches in any
    case: https://www.rfc-editor.org/rfc/rfc9110#section-11.1
    """
    scheme, _, token = header.partition(" ")
    given = token.strip().encode("utf-8", "surrogatepass")
    known = _is_one_of(given, setting, tokens())
    if not known and given and key_vault.refresh_secrets():
        # The token may have changed in the Key Vault since it was read.
        known = _is_one_of(given, setting, tokens())
    return known and scheme.lower() == "bearer"


def _is_one_of(given: bytes, setting: str, tokens: Sequence[str] | None) -> bool:
    """Compare with every token, so that the time taken tells nothing about any of them."""
    if not tokens:
        raise SettingsError([f"{setting} is not set"])
    found = False
    for token in tokens:
        found |= hmac.compare_digest(given, token.encode("utf-8"))
    return found
