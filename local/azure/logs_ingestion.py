"""Azure Monitor on loopback: the Logs Ingestion API with the limits that Azure documents.

https://learn.microsoft.com/azure/azure-monitor/logs/logs-ingestion-api-overview
https://learn.microsoft.com/azure/azure-monitor/fundamentals/service-limits#logs-ingestion-api
The Data Collector API is in local/azure/data_collector.py.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self, TypedDict

import msgspec
from aiohttp import web
from isal import isal_zlib

from local.azure.data_collector import DataCollector
from local.azure.entra import MANAGED_IDENTITY, Identity, TokenRefused
from local.azure.ingested import IngestedBatches, Keep, Refuse
from local.loopback.certificates import Certificates, certificates
from local.loopback.server import (
    Clock,
    LocalServer,
    json_answer,
    serve_until_stdin_closes,
    utc_now,
)
from local.loopback.service import Service

AUDIENCE = "https://monitor.azure.com"
API_VERSIONS = frozenset({"2023-01-01"})


class Workspace(Protocol):
    """A workspace that applies the rule's transform; see local/workspace/workspace.py."""

    def ingest(self, stream: str, records: list[dict[str, Any]]) -> object:
        """Store an accepted batch."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Azure's limits on a data collection rule; smaller ones make a test short."""

    body_bytes: int = 1_048_576
    requests_a_minute: int = 12_000
    bytes_a_minute: int = 2 * 1024**3


@dataclass(slots=True)
class _Minute:
    started: float
    requests: int = 0
    bytes: int = 0


class AzureMonitor(Service):
    """`rules` maps each rule's immutable id to its streams.

    `accepted` holds the batches. `refuse(stream, record)` may return a reason why a record is bad:
    then its whole batch is refused with a 400, as Azure does. `grants` maps a principal to the
    rules that it may send to; the managed identity may send to all until `revoke_role()`.
    `journal` is a folder for batches that the workspace does not have yet.
    """

    def __init__(
        self,
        identity: Identity,
        rules: Mapping[str, Collection[str]],
        tls: Certificates,
        *,
        workspace: Workspace | None = None,
        keep: Keep = "records",
        journal: Path | None = None,
        now: Clock = utc_now,
    ) -> None:
        self.identity = identity
        self.rules = {rule: frozenset(streams) for rule, streams in rules.items()}
        self.limits = Limits()
        self.refuse: Refuse | None = None
        self.accepted = IngestedBatches(workspace.ingest if workspace else None, keep, journal)
        self.data_collector = DataCollector(self.accepted, now)
        self.grants: dict[str, set[str]] = {MANAGED_IDENTITY: set(self.rules)}
        self._minutes: dict[str, _Minute] = {}
        path = "/dataCollectionRules/{rule}/streams/{stream}"
        self.server = LocalServer(
            [
                web.post(path, self._ingest),
                web.post("/api/logs", self.data_collector.post),
                web.get("/local/received", self._received),
                web.delete("/local/received", self._forget),
            ],
            tls=tls.server_context(),
            now=now,
        )
        self.faults = self.server.faults

    @property
    def url(self) -> str:
        """The address for LogsIngestionEndpoint."""
        return self.server.url

    @property
    def latency(self) -> float:
        """The delay of each response, in seconds."""
        return self.server.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self.server.latency = seconds

    def records(self, stream: str) -> list[dict[str, Any]]:
        """The records accepted for a stream (or a Log-Type), as they were sent."""
        return self.accepted.records(stream)

    def grant(self, client_id: str, rule: str) -> None:
        """Assign Monitoring Metrics Publisher on that rule."""
        self.grants.setdefault(client_id, set()).add(rule)

    def revoke_role(self, client_id: str = MANAGED_IDENTITY) -> None:
        """Remove the role assignment, as before it has spread."""
        self.grants[client_id] = set()

    def settle(self) -> None:
        """Wait until the workspace has all accepted batches; raise the first failure there."""
        self.accepted.settle()

    def start(self) -> Self:
        """Begin to accept batches."""
        self.accepted.start()
        self.server.start()
        return self

    def close(self) -> None:
        """Stop, after the workspace has all accepted batches."""
        self.server.close()
        self.accepted.close()

    async def _ingest(self, request: web.Request) -> web.Response:
        rule, stream = request.match_info["rule"], request.match_info["stream"]
        body = await request.read()
        refusal = (
            self._version_refused(request)
            or self._caller_refused(request, rule, stream)
            or self._rate_exceeded(rule, 0)
        )
        if refusal is not None:
            return refusal
        try:
            raw = self._decompressed(request, body)
            records = _array(raw, whole=self.accepted.keep == "records")
            if reason := self._bad_record(stream, records):
                raise _Refusal(400, "InvalidRecord", reason)
        except _Refusal as refused:
            return refused.answer()
        if refusal := self._rate_exceeded(rule, len(raw)):
            return refusal
        self.accepted.add(stream, records, raw_bytes=len(raw), wire_bytes=len(body))
        return web.Response(status=204)

    def _version_refused(self, request: web.Request) -> web.Response | None:
        version = request.query.get("api-version", "")
        if version in API_VERSIONS:
            return None
        message = f"The api-version '{version}' is not supported. Use 2023-01-01."
        return azure_error(400, "UnsupportedApiVersion", message)

    def _caller_refused(self, request: web.Request, rule: str, stream: str) -> web.Response | None:
        authorization = request.headers.get("Authorization", "")
        try:
            caller = self.identity.caller(authorization, AUDIENCE)
        except TokenRefused as refused:
            challenge = f'Bearer authorization_uri="{self.identity.authority}"'
            return azure_error(
                401, "InvalidAuthorization", str(refused), {"WWW-Authenticate": challenge}
            )
        if rule not in self.rules:
            message = f"Data collection rule with immutable Id '{rule}' not found."
            return azure_error(404, "NotFound", message)
        if rule not in self.grants.get(caller, set()):
            message = (
                "The authentication token provided does not have access to ingest data for the "
                f"data collection rule with immutable Id '{rule}'."
            )
            return azure_error(403, "OperationFailed", message)
        if stream not in self.rules[rule]:
            message = f"Stream '{stream}' is not declared by the data collection rule '{rule}'."
            return azure_error(404, "InvalidStream", message)
        return None

    def _rate_exceeded(self, rule: str, raw_bytes: int) -> web.Response | None:
        """Count a request before its body is read, and the body once it is valid."""
        now = time.monotonic()
        minute = self._minutes.get(rule)
        if minute is None or now - minute.started >= 60:
            minute = self._minutes[rule] = _Minute(now)
        minute.requests += raw_bytes == 0
        too_many = minute.requests > self.limits.requests_a_minute
        if not too_many and minute.bytes + raw_bytes <= self.limits.bytes_a_minute:
            minute.bytes += raw_bytes
            return None
        wait = max(1, round(60 - (now - minute.started)))
        what = "requests" if too_many else "bytes"
        message = f"The data collection rule's limit of {what} a minute is exceeded."
        return azure_error(429, "TooManyRequests", message, {"Retry-After": str(wait)})

    def _decompressed(self, request: web.Request, body: bytes) -> bytes:
        if request.content_type != "application/json":
            kind = request.content_type
            raise _Refusal(415, "UnsupportedMediaType", f"Content type '{kind}' is not accepted.")
        self._check_size(len(body))
        encoding = request.headers.get("Content-Encoding", "identity")
        if encoding == "identity":
            return body
        if encoding != "gzip":
            message = f"Content-Encoding '{encoding}' is not accepted."
            raise _Refusal(415, "UnsupportedMediaType", message)
        unpacker = isal_zlib.decompressobj(wbits=31)
        try:
            raw: bytes = unpacker.decompress(body, self.limits.body_bytes + 1)
        except isal_zlib.IsalError as error:  # type: ignore[misc]  # isal's stub calls it a value
            raise _Refusal(400, "InvalidRequest", "The gzip body is damaged.") from error
        self._check_size(len(raw))
        if not unpacker.eof:
            raise _Refusal(400, "InvalidRequest", "The gzip body ends early.")
        return raw

    def _check_size(self, size: int) -> None:
        limit = self.limits.body_bytes
        if size > limit:
            message = (
                f"Maximum allowed content length: {limit} bytes (1 MB). "
                f"Provided content length: {size} bytes."
            )
            raise _Refusal(413, "ContentLengthLimitExceeded", message)

    def _bad_record(self, stream: str, records: list[dict[str, Any]]) -> str | None:
        if self.refuse is None:
            return None
        reasons = (self.refuse(stream, record) for record in records)
        return next((reason for reason in reasons if reason), None)

    async def _received(self, _request: web.Request) -> web.Response:
        return json_answer(self.accepted.totals())

    async def _forget(self, _request: web.Request) -> web.Response:
        self.accepted.clear()
        return web.Response(status=204)


class _Refusal(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    def answer(self) -> web.Response:
        return azure_error(self.status, self.code, self.message)


class _Named(TypedDict, total=False):
    """The part of a record that is kept where only ids are."""

    id: Any
    uuid: Any


def _array(raw: bytes, *, whole: bool) -> list[dict[str, Any]]:
    """Decode a body's records; all is checked, and only the parts to keep become objects."""
    kind: Any = list[dict[str, Any]] if whole else list[_Named]
    try:
        records: list[dict[str, Any]] = msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        message = "The body is not a JSON array of objects."
        raise _Refusal(400, "InvalidRequest", message) from error
    except msgspec.DecodeError as error:
        raise _Refusal(400, "InvalidRequest", f"The body is not JSON: {error}.") from error
    return records


def azure_error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An error response in Azure's shape."""
    return json_answer({"error": {"code": code, "message": message}}, status, headers)


def rule_id(setting: str) -> str:
    """The immutable id of a local rule: Azure's shape, derived from the setting's name."""
    return "dcr-" + hashlib.sha256(setting.encode()).hexdigest()[:32]


@functools.cache
def declared_rules() -> dict[str, tuple[str, ...]]:
    """The streams of each rule that sentinel/tables declares, by the rule's app setting.

    A product that sends to its tables by itself has no such setting: its name stands for it.
    """
    from tools.content import load_tables

    rules: dict[str, tuple[str, ...]] = {}
    for table in load_tables():
        key = table.rule_setting or table.connector
        rules[key] = (*rules.get(key, ()), *table.streams)
    return rules


def app_settings(monitor: AzureMonitor, identity: Identity, tls: Certificates) -> dict[str, str]:
    """The app settings that lead to this Azure Monitor and its declared rules."""
    return {
        "LogsIngestionEndpoint": monitor.url,
        "IDENTITY_ENDPOINT": identity.endpoint,
        "IDENTITY_HEADER": identity.header,
        "REQUESTS_CA_BUNDLE": str(tls.bundle),
        **{setting: rule_id(setting) for setting in declared_rules()},
    }


def main() -> None:
    """Serve until standard input closes: `python -m local.azure.logs_ingestion --keep ids`."""
    parser = argparse.ArgumentParser(prog="python -m local.azure.logs_ingestion")
    parser.add_argument("--keep", choices=("records", "ids", "counts"), default="ids")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--no-rate-limit", action="store_true")
    parser.add_argument("--body-bytes", type=int, default=Limits().body_bytes, metavar="N")
    options = parser.parse_args()
    tls = certificates()
    rules = {rule_id(setting): streams for setting, streams in declared_rules().items()}
    with (
        Identity(tls) as identity,
        AzureMonitor(identity, rules, tls, keep=options.keep) as monitor,
    ):
        monitor.latency = options.latency
        monitor.limits = replace(monitor.limits, body_bytes=options.body_bytes)
        if options.no_rate_limit:
            monitor.limits = replace(
                monitor.limits, requests_a_minute=1 << 60, bytes_a_minute=1 << 60
            )
        serve_until_stdin_closes(app_settings(monitor, identity, tls))


if __name__ == "__main__":
    main()
