"""When the API token expires: SentinelOne says so for a user's token, seldom for a service user's.

A token's details never change, so a process asks once, and about an unknown one every hour.
"""

from __future__ import annotations

import hashlib
import logging
import time
from datetime import datetime

from shared.connectors.sentinelone.answers import API
from shared.errors import VendorError
from shared.records.timestamps import parse_time
from shared.runtime.process import on_reset
from shared.source.client import ApiClient

PATH = "/users/api-token-details"
_SECONDS = 5.0
_ASK_AGAIN_SECONDS = 3600.0

logger = logging.getLogger("connectors.sentinelone")
# By the token's digest: when it was asked about (time.monotonic), and what SentinelOne said.
_expiry_by_token: dict[str, tuple[float, datetime | None]] = {}
on_reset(_expiry_by_token.clear)


def token_expires(client: ApiClient, url: str, api_token: str) -> datetime | None:
    """The end of ``api_token``; None where it may not ask, or SentinelOne is silent."""
    name = hashlib.sha256(f"{url} {api_token}".encode()).hexdigest()
    asked, expires = _expiry_by_token.get(name, (None, None))
    if asked is not None and (expires or time.monotonic() - asked < _ASK_AGAIN_SECONDS):
        return expires
    expires = _ask(client, url, api_token)
    _expiry_by_token[name] = (time.monotonic(), expires)
    return expires


def _ask(client: ApiClient, url: str, api_token: str) -> datetime | None:
    client.begin(time.monotonic() + _SECONDS)
    try:
        response = client.post(url + API + PATH, {"data": {"apiToken": api_token}})
        return parse_time(response.require("data", "expiresAt"))
    except VendorError as error:
        logger.debug("The token's expiry stays unknown: %s", error)
        return None
