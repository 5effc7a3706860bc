"""The signed HTTP Data Collector API, as the local Azure Monitor serves it.

https://learn.microsoft.com/previous-versions/azure/azure-monitor/logs/data-collector-api
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime

import orjson
from aiohttp import web

from local.azure.ingested import IngestedBatches
from local.loopback.server import Clock, json_answer

MAX_BODY_BYTES = 30 * 1024 * 1024
MAX_CLOCK_DIFFERENCE = timedelta(minutes=15)
LOG_TYPE = re.compile(r"[A-Za-z0-9_]{1,100}")


class DataCollector:
    """A workspace's id and key; checks signatures and keeps accepted records."""

    def __init__(self, accepted: IngestedBatches, now: Clock) -> None:
        self.workspace_id = "99999999-8888-7777-6666-555555555555"
        self.workspace_key = base64.b64encode(secrets.token_bytes(64)).decode()
        self._accepted = accepted
        self._now = now

    async def post(self, request: web.Request) -> web.Response:
        """`POST /api/logs`: accepted records are kept under their Log-Type."""
        body = await request.read()
        refused = self._refused(request, body)
        if refused is not None:
            status, code, message = refused
            return json_answer({"Error": code, "Message": message}, status)
        try:
            records = orjson.loads(body)
        except orjson.JSONDecodeError:
            records = None
        records = [records] if isinstance(records, dict) else records
        if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
            message = "The body is neither a JSON object nor an array of them."
            return json_answer({"Error": "InvalidDataFormat", "Message": message}, 400)
        log_type = request.headers["Log-Type"]
        self._accepted.add(log_type, records, raw_bytes=len(body), wire_bytes=len(body))
        return web.Response(status=200)

    def _refused(self, request: web.Request, body: bytes) -> tuple[int, str, str] | None:
        if request.query.get("api-version") != "2016-04-01":
            return 400, "MissingApiVersion", "The api-version must be 2016-04-01."
        if request.content_type != "application/json" or "Content-Encoding" in request.headers:
            return 400, "UnsupportedContentType", "The body must be uncompressed application/json."
        log_type = request.headers.get("Log-Type", "")
        if not log_type:
            return 400, "MissingLogType", "The header Log-Type is missing."
        if not LOG_TYPE.fullmatch(log_type):
            return 400, "InvalidLogType", "Log-Type may hold letters, digits and underscores."
        if len(body) > MAX_BODY_BYTES:
            return 413, "RequestTooLarge", "A post may be of 30 MB."
        return self._unsigned(request, body)

    def _unsigned(self, request: web.Request, body: bytes) -> tuple[int, str, str] | None:
        date = request.headers.get("x-ms-date", "")
        try:
            sent = parsedate_to_datetime(date)
        except ValueError:
            return 403, "InvalidAuthorization", "The header x-ms-date is missing or malformed."
        sent = sent if sent.tzinfo else sent.replace(tzinfo=UTC)
        if abs(self._now() - sent) > MAX_CLOCK_DIFFERENCE:
            return 403, "InvalidAuthorization", "x-ms-date is more than 15 minutes off."
        text = f"POST\n{len(body)}\napplication/json\nx-ms-date:{date}\n/api/logs"
        key = base64.b64decode(self.workspace_key)
        signature = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest())
        expected = f"SharedKey {self.workspace_id}:{signature.decode()}"
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(expected.encode(), given.encode()):
            return 403, "InvalidAuthorization", "An invalid signature was specified."
        return None
