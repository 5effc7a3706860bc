"""SentinelOne's Management API v2.1 on loopback, with the vendor's rules (sentinelone_rules.py)."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from aiohttp import web

from local.loopback.server import Clock, json_answer, utc_now
from local.vendors.record_store import Between, Collection, Item, Record
from local.vendors.sentinelone_rules import (
    BASE,
    ENDPOINTS,
    EXACT,
    Endpoint,
    ListQuery,
    Refused,
    cursor,
    read,
)
from local.vendors.served import ServedVendor

TOKEN = "local-sentinelone-token"
GRAPHQL = "/unifiedalerts/graphql"
MAX_FIRST = 100


class SentinelOne(ServedVendor):
    """A tenant. Streams by their setting names: activities, threats, …, unifiedalerts, accounts.

    `last_cursor` is how the last page marks itself; `encoded_cursors` percent-encodes cursors;
    `denied` maps a stream to the status for a missing licence or permission.
    """

    def __init__(self, *, now: Clock = utc_now, port: int = 0) -> None:
        self.token = TOKEN
        self.last_cursor: Literal["null", "missing"] = "null"
        self.encoded_cursors = False
        self.denied: dict[str, int] = {}
        self.token_expires_at: datetime | None = None
        self.policies: dict[tuple[str, str], Record] = {
            ("tenant", ""): {"mitigationMode": "detect"}
        }
        exact = {path: path for path in EXACT.values() if path != "id"}
        self.streams = {
            endpoint.stream: Collection(
                endpoint.times,
                {
                    **exact,
                    **(
                        {"activityType": "activityType"} if "activityType" in endpoint.sorts else {}
                    ),
                },
                now=self.clock,
            )
            for endpoint in ENDPOINTS
        }
        self.streams["unifiedalerts"] = Collection({"detectedAt": "detectedAt"}, now=self.clock)
        routes = [web.get(BASE + each.path, self._lister(each)) for each in ENDPOINTS]
        super().__init__(
            [
                *routes,
                web.get(f"{BASE}/tenant/policy", self._policy),
                web.get(BASE + "/{level:accounts|sites|groups}/{id}/policy", self._policy),
                web.get(f"{BASE}/agents/applications", self._agents_applications),
                web.post(BASE + GRAPHQL, self._graphql),
                web.post(f"{BASE}/users/api-token-details", self._token_details),
                web.route("*", "/{path:.*}", self._unknown),
            ],
            port=port,
            now=now,
        )

    def add(
        self,
        stream: str,
        records: Iterable[Record],
        *,
        visible_at: datetime | None = None,
        at: datetime | None = None,
    ) -> None:
        """Add records; see Collection.add."""
        self.streams[stream].add(records, visible_at=visible_at, at=at)

    def update(self, stream: str, record_id: str, changes: Mapping[str, Any]) -> None:
        """Change a record in place: `update("agents", "7", {"updatedAt": "…"})`."""
        self.streams[stream].update(record_id, changes)

    def ids(self, stream: str) -> list[str]:
        """The ids of the records that are visible now."""
        return self.streams[stream].ids()

    def _lister(self, endpoint: Endpoint) -> Any:
        async def answer(request: web.Request) -> web.Response:
            try:
                self._check(request, endpoint.stream)
                return self._list(endpoint, read(endpoint, request.query))
            except Refused as refused:
                return refused.answer()

        return answer

    def _list(self, endpoint: Endpoint, asked: ListQuery) -> web.Response:
        items, total, following = self.streams[endpoint.stream].page(
            asked.sort,
            descending=asked.descending,
            bounds=asked.bounds,
            exact=asked.exact,
            after=asked.after,
            skip=asked.skip,
            limit=0 if asked.count_only else asked.limit,
        )
        pagination: dict[str, Any] = {"totalItems": 0 if asked.skip_count else total}
        if following is not None:
            text = cursor(following, asked.tied_to)
            pagination["nextCursor"] = quote(text, safe="") if self.encoded_cursors else text
        elif self.last_cursor == "null":
            pagination["nextCursor"] = None
        records = b"[" + b",".join(item.body for item in items) + b"]"
        data = b'{"%s":%s}' % (endpoint.nested.encode(), records) if endpoint.nested else records
        body = b'{"data":%s,"pagination":%s}' % (data, json.dumps(pagination).encode())
        return web.Response(body=body, content_type="application/json")

    def _check(self, request: web.Request, stream: str = "") -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        known = hmac.compare_digest(token.encode(), self.token.encode())
        if scheme != "ApiToken" or not known:
            raise Refused("", 401, 4010010)
        if stream in self.denied:
            raise Refused("", self.denied[stream], self.denied[stream] * 10000 + 10)

    async def _policy(self, request: web.Request) -> web.Response:
        level = request.match_info.get("level", "tenant")
        try:
            self._check(request, "policies")
            policy = self.policies.get((level, request.match_info.get("id", "")))
            if policy is None:
                raise Refused("", 404, 4040010)
        except Refused as refused:
            return refused.answer()
        return json_answer({"data": policy})

    async def _agents_applications(self, request: web.Request) -> web.Response:
        try:
            self._check(request, "applications")
            if not request.query.get("ids"):
                raise Refused("ids: Missing data for required field.")
        except Refused as refused:
            return refused.answer()
        return json_answer({"data": []})

    async def _token_details(self, request: web.Request) -> web.Response:
        try:
            self._check(request)
            if self.token_expires_at is None:
                raise Refused("A service user may not look at its own token.", 403, 4030010)
        except Refused as refused:
            return refused.answer()
        expires = self.token_expires_at.isoformat().replace("+00:00", "Z")
        return json_answer({"data": {"expiresAt": expires, "createdAt": "2025-01-01T00:00:00Z"}})

    async def _unknown(self, request: web.Request) -> web.Response:
        try:
            self._check(request)
        except Refused as refused:
            return refused.answer()
        return Refused("", 404, 4040010).answer()

    async def _graphql(self, request: web.Request) -> web.Response:
        try:
            self._check(request, "unifiedalerts")
            body = json.loads(await request.read())
            variables = body.get("variables") or {}
            if not re.search(r"\balerts\s*\(", body.get("query", "")):
                return _graphql_error("Only the query alerts(…) is known here.")
            return self._alerts(variables)
        except Refused as refused:
            return refused.answer()
        except (ValueError, KeyError, TypeError) as error:
            return _graphql_error(f"Validation error: {error}")

    def _alerts(self, variables: Mapping[str, Any]) -> web.Response:
        first = variables.get("first", 10)
        if not 1 <= first <= MAX_FIRST:
            return _graphql_error(f"first must be between 1 and {MAX_FIRST}")
        bounds = {}
        for each in variables.get("filters") or []:
            if each["fieldId"] != "detectedAt" or not isinstance(each["dateTimeRange"], dict):
                return _graphql_error("filters: only a dateTimeRange of detectedAt is known here")
            low, high = (each["dateTimeRange"].get(end) for end in ("start", "end"))
            bounds["detectedAt"] = Between(_in_microseconds(low), _in_microseconds(high))
        after = variables.get("after")
        items, total, following = self.streams["unifiedalerts"].page(
            "detectedAt",
            descending=True,
            bounds=bounds,
            after=_key_of(after) if after else None,
            limit=first,
        )
        return _connection(items, total, following is not None)


def _connection(items: list[Item], total: int, more: bool) -> web.Response:
    edges = [{"cursor": _cursor_of(item), "node": json.loads(item.body)} for item in items]
    page = {"endCursor": edges[-1]["cursor"] if edges else None, "hasNextPage": more}
    return json_answer(
        {"data": {"alerts": {"edges": edges, "pageInfo": page, "totalCount": total}}}
    )


def _cursor_of(item: Item) -> str:
    return f"{item.fields['detectedAt']}|{item.id}"


def _key_of(text: str) -> tuple[int, str]:
    moment, _, record_id = text.partition("|")
    return int(moment), record_id


def _in_microseconds(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else int(milliseconds) * 1000


def _graphql_error(message: str) -> web.Response:
    """GraphQL reports an error in a 200."""
    return json_answer({"data": None, "errors": [{"message": message}]})
