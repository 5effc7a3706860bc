"""The bearer token of a webhook: which ones are valid now, and whether a request has one."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

from shared.errors import SettingsError
from shared.settings import key_vault


def authorized(header: str, setting: str, tokens: Callable[[], Sequence[str] | None]) -> bool:
    """Whether an ``Authorization`` header holds one of ``tokens()``.

    Raises ``SettingsError`` where there is none; then ``setting`` is the name it complains about.
    The scheme is read in any case: https://www.rfc-editor.org/rfc/rfc9110#section-11.1
    """
    scheme, _, token = header.partition(" ")
    given = token.strip().encode("utf-8", "surrogatepass")
    known = _is_one_of(given, setting, tokens())
    if not known and given and key_vault.refresh_secrets():
        # The token may have been changed in the Key Vault since it was read.
        known = _is_one_of(given, setting, tokens())
    return known and scheme.lower() == "bearer"


def _is_one_of(given: bytes, setting: str, tokens: Sequence[str] | None) -> bool:
    """Takes as long for a wrong token as for a right one, and for the first as for the second."""
    if not tokens:
        raise SettingsError([f"{setting} is not set"])
    found = False
    for token in tokens:
        found |= hmac.compare_digest(given, token.encode("utf-8"))
    return found
