"""OAuth 2.0 client credentials: an access token for a vendor's API, renewed before it ends.

https://www.rfc-editor.org/rfc/rfc6749#section-4.4. A process keeps the token for all its runs.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.errors import VendorAnswerInvalid
from shared.records.timestamps import parse_time, utc_now
from shared.runtime.process import on_reset

# Renew a token so long before its end: no request under way may outlive it.
_RENEW_SECONDS = 300.0
# A vendor may give the same token until its end: ask for the next one at most so often.
_ASK_AGAIN_SECONDS = 60.0


class TokenAnswer(Protocol):
    """The answer of a token endpoint."""

    @property
    def json(self) -> Any: ...

    def require(self, *names: str) -> Any: ...

    def invalid(self, how: str) -> VendorAnswerInvalid: ...


Ask = Callable[[str, Mapping[str, str], Mapping[str, Any]], TokenAnswer]
"""POST a JSON body with headers to a URL, without a token."""


@dataclass(slots=True)
class _Kept:
    """The token of one credential; ``renew_at`` is a reading of ``time.monotonic``."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    token: str = ""
    renew_at: float = 0.0


_kept: dict[str, _Kept] = {}
on_reset(_kept.clear)


class ClientCredentials:
    """A client id and its secret at the token endpoint ``url``; thread-safe."""

    def __init__(self, url: str, client_id: str, client_secret: str) -> None:
        self._url = url
        login = f"{client_id}:{client_secret}".encode()
        self._headers = {"Authorization": f"Basic {base64.b64encode(login).decode()}"}
        name = hashlib.sha256(url.encode() + b" " + login).hexdigest()
        self._kept = _kept.setdefault(name, _Kept())

    def token(self, ask: Ask, refused: str = "") -> str:
        """A valid token, asked for where there is none, or where the vendor ``refused`` it.

        Raises the VendorError tree: 401 for a wrong id or secret.
        """
        with self._kept.lock:
            known = self._kept.token not in ("", refused)
            if not known or time.monotonic() >= self._kept.renew_at:
                self._renew(ask)
            return self._kept.token

    def _renew(self, ask: Ask) -> None:
        answer = ask(self._url, self._headers, {"grant_type": "client_credentials"})
        token, lasts = answer.require("access_token"), answer.require("expires_in")
        if not isinstance(token, str) or not token or not token.isascii():
            raise answer.invalid("with an access_token that is no text")
        if not isinstance(lasts, int | float):
            raise answer.invalid("with an expires_in that is no number")
        # The seconds count from the token's creation where the vendor tells it.
        created = parse_time(answer.json.get("created_at"))
        left = lasts - max((utc_now() - created).total_seconds(), 0.0) if created else lasts
        self._kept.token = token
        self._kept.renew_at = time.monotonic() + max(left - _RENEW_SECONDS, _ASK_AGAIN_SECONDS)
