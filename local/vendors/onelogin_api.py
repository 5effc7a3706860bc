"""OneLogin's API on loopback: a token by client credentials, and the list of events by cursor.

https://developers.onelogin.com/api-docs/1/events/get-events and
https://developers.onelogin.com/api-docs/2/oauth20-tokens/generate-tokens-2
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hmac
import json
import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from local.loopback.server import (
    Clock,
    json_answer,
    serve_until_stdin_closes,
    utc_now,
)
from local.vendors.onelogin_records import api_time
from local.vendors.record_store import Between, Collection, Key, Record, microseconds
from local.vendors.served import ServedVendor

CLIENT_ID = "local-onelogin-client"
CLIENT_SECRET = "local-onelogin-secret"
PATH = "/api/1/events"
TOKEN_PATH = "/auth/oauth2/v2/token"
MAX_LIMIT = 50
CALLS_AN_HOUR = 5_000
TOKEN_SECONDS = 36_000
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z")


class OneLoginApi(ServedVendor):
    """An account's API. `calls_an_hour` is its limit; `longest_page` shortens pages.

    `exclusive` leaves out events on an edge of `since` and `until`, as OneLogin describes them.
    `scope` is whether the credential may read events.
    """

    def __init__(self, *, now: Clock = utc_now, port: int = 0) -> None:
        self.client_id, self.client_secret = CLIENT_ID, CLIENT_SECRET
        self.longest_page = MAX_LIMIT
        self.calls_an_hour = CALLS_AN_HOUR
        self.token_seconds = TOKEN_SECONDS
        self.exclusive = True
        self.scope = True
        super().__init__(
            [web.get(PATH, self._events), web.post(TOKEN_PATH, self._token)],
            port=port,
            now=now,
        )
        self.events = Collection({"created_at": "created_at"}, now=self.clock)
        self._tokens: dict[str, datetime] = {}
        self._hour: datetime | None = None
        self._calls = 0

    @property
    def settings(self) -> dict[str, str]:
        """The app settings that make this API the way in."""
        return {
            "OneLoginUrl": self.url,
            "OneLoginClientId": self.client_id,
            "OneLoginClientSecret": self.client_secret,
            "OneLoginSource": "api",
        }

    def add(self, events: Iterable[Record], *, visible_at: datetime | None = None) -> None:
        """Add events; see Collection.add."""
        self.events.add(events, visible_at=visible_at)

    def ids(self) -> list[str]:
        """The ids of the events that are visible now."""
        return self.events.ids()

    def use(self, calls: int) -> None:
        """Spend calls of this hour, as another program of the account does."""
        self._begin_hour()
        self._calls += calls

    def revoke_tokens(self) -> None:
        """Every token given so far is refused from now on."""
        self._tokens.clear()

    async def _token(self, request: web.Request) -> web.Response:
        try:
            asked = json.loads(await request.read())
        except ValueError:
            asked = None
        if not isinstance(asked, dict) or asked.get("grant_type") != "client_credentials":
            return _status(400, "bad request", "grant_type is incorrect/absent")
        login = f"{self.client_id}:{self.client_secret}"
        if not hmac.compare_digest(_login(request).encode(), login.encode()):
            return _status(401, "Unauthorized", "Authentication Failure")
        now = self.clock()
        # The same token is given until it ends.
        token, ends = next(
            ((token, ends) for token, ends in self._tokens.items() if ends > now),
            (secrets.token_hex(32), now + timedelta(seconds=self.token_seconds)),
        )
        self._tokens[token] = ends
        created = ends - timedelta(seconds=self.token_seconds)
        return json_answer(
            {
                "access_token": token,
                "created_at": api_time(created),
                "expires_in": self.token_seconds,
                "refresh_token": secrets.token_hex(32),
                "token_type": "bearer",
                "account_id": 88211,
            }
        )

    async def _events(self, request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        ends = self._tokens.get(token)
        if scheme.lower() not in ("bearer", "bearer:") or ends is None or ends <= self.clock():
            return _status(401, "Unauthorized", "Authentication Failure")
        self._begin_hour()
        if self._calls >= self.calls_an_hour:
            return _status(429, "Too Many Requests", "rate limit exceeded", self._limits())
        self._calls += 1
        if not self.scope:
            return _status(403, "Forbidden", "Insufficient Permission", self._limits())
        try:
            return self._page(request)
        except ValueError as error:
            return _status(400, "bad request", str(error), self._limits())

    def _page(self, request: web.Request) -> web.Response:
        query = request.query
        limit = min(int(query.get("limit", MAX_LIMIT)), self.longest_page)
        sort, descending = _sort(query.get("sort", "+id"))
        within = Between(
            _moment(query.get("since")),
            _moment(query.get("until")),
            low_open=self.exclusive,
            high_open=self.exclusive,
        )
        after = _read_cursor(query["after_cursor"]) if "after_cursor" in query else None
        items, _, key = self.events.page(
            sort, descending=descending, bounds={"created_at": within}, after=after, limit=limit
        )
        cursor = _cursor(key) if key else None
        head = {
            "status": {"error": False, "code": 200, "type": "success", "message": "Success"},
            "pagination": {
                "before_cursor": None,
                "after_cursor": cursor,
                "previous_link": None,
                "next_link": f"{self.url}{PATH}?after_cursor={cursor}" if cursor else None,
            },
        }
        records = b",".join(item.body for item in items)
        body = json.dumps(head).encode()[:-1] + b',"data":[' + records + b"]}"
        return web.Response(body=body, content_type="application/json", headers=self._limits())

    def _begin_hour(self) -> None:
        hour = self.clock().replace(minute=0, second=0, microsecond=0)
        if hour != self._hour:
            self._hour, self._calls = hour, 0

    def _limits(self) -> dict[str, str]:
        now = self.clock()
        past = now - now.replace(minute=0, second=0, microsecond=0)
        return {
            "X-RateLimit-Limit": str(self.calls_an_hour),
            "X-RateLimit-Remaining": str(max(self.calls_an_hour - self._calls, 0)),
            "X-RateLimit-Reset": str(3600 - int(past.total_seconds())),
        }


def _login(request: web.Request) -> str:
    """`id:secret` of a token request, from Basic auth or OneLogin's own form of the header."""
    header = request.headers.get("Authorization", "")
    if own := re.fullmatch(r"client_id:\s*(\S+),\s*client_secret:\s*(\S+)", header):
        return f"{own[1]}:{own[2]}"
    scheme, _, value = header.partition(" ")
    try:
        return base64.b64decode(value).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _sort(text: str) -> tuple[str, bool]:
    """The field to sort by, and whether it descends."""
    if text not in ("+id", "-id"):
        raise ValueError("sort is +id or -id")
    return "id", text == "-id"


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    moment = microseconds(text) if TIME.fullmatch(text) else None
    if moment is None:
        raise ValueError("since and until are times like 2018-11-01T19:44:55.000Z")
    return moment


def _cursor(key: Key) -> str:
    return base64.b64encode(json.dumps(["id:::", *key]).encode()).decode()


def _read_cursor(text: str) -> Key:
    try:
        _, value, record_id = json.loads(base64.b64decode(text, validate=True))
    except ValueError:
        raise ValueError("after_cursor is not valid") from None
    return (value, record_id)


def _status(
    code: int, kind: str, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    status: dict[str, Any] = {"error": True, "code": code, "type": kind, "message": message}
    return json_answer({"status": status}, code, headers)


def main() -> None:
    """Serve until standard input closes: `python -m local.vendors.onelogin_api`."""
    parser = argparse.ArgumentParser(prog="python -m local.vendors.onelogin_api")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    with OneLoginApi(port=options.port) as vendor:
        serve_until_stdin_closes(vendor.settings)


if __name__ == "__main__":
    main()
