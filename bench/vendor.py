"""A lean SentinelOne (and an empty Jira) over HTTPS: pages are joined from prepared bytes.

A tenant's address declares its contents: ``https://127.0.0.1:…/20000-3`` has 20,000 activities;
the number behind the hyphen makes it another tenant, with another checkpoint; a third part is the
kind of its records, see ``KINDS``. ``/local/prepare`` makes the bytes of tenants of one size,
before the measurement. Each answer takes ``--latency``
seconds, without using the processor.
"""

from __future__ import annotations

import argparse
import random
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

import orjson
from aiohttp import web

from local.loopback.certificates import certificates
from local.loopback.server import (
    LocalServer,
    json_answer,
    serve_until_stdin_closes,
    utc_now,
)

SPREAD = timedelta(hours=20)
PAGE = 1000
# Bodies repeat after so many records: far beyond a compressor's window.
_BODIES = 4096
_PIECE = 1 << 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)
_MICROSECOND = timedelta(microseconds=1)
_WORDS = (
    "policy agent threat console scope user device network update firewall rule file "
    "process group account status report session token alert engine volume"
).split()


class Tenant:
    """A made-up company: an account, some sites and groups, many machines and people."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._account = _long_id(rng)
        self._sites = [(_long_id(rng), f"Site {word}") for word in _WORDS]
        self._groups = [(_long_id(rng), f"Group {n}") for n in range(60)]
        self._agents = [
            (_long_id(rng), f"{rng.choice(_WORDS)}-{n:05d}", f"203.0.113.{rng.randrange(256)}")
            for n in range(2000)
        ]
        self._people = [
            (_long_id(rng), f"{rng.choice(_WORDS)}.{rng.choice(_WORDS)}{n}@example.com")
            for n in range(300)
        ]

    def activity(self) -> dict[str, object]:
        """An activity of about 1 KB, less its id and its times."""
        rng = self._rng
        site_id, site = rng.choice(self._sites)
        group_id, group = rng.choice(self._groups)
        agent_id, host, address = rng.choice(self._agents)
        person_id, person = rng.choice(self._people)
        what = " ".join(rng.choices(_WORDS, k=3))
        return {
            "accountId": self._account,
            "accountName": "Example",
            "activityType": rng.randrange(1, 6000),
            "activityUuid": str(uuid.UUID(int=rng.getrandbits(128))),
            "agentId": agent_id,
            "agentUpdatedVersion": None,
            "comments": None,
            "data": {
                "accountName": "Example",
                "computerName": host,
                "externalIp": address,
                "fileContentHash": f"{rng.getrandbits(160):040x}",
                "fullScopeDetails": f"{group} in {site} of Account Example",
                "groupName": group,
                "role": "Admin",
                "scopeLevel": "Group",
                "scopeName": group,
                "siteName": site,
                "username": person,
            },
            "description": None,
            "groupId": group_id,
            "groupName": group,
            "hash": None,
            "osFamily": rng.choice(("windows", "linux", "macos")),
            "primaryDescription": f"The user {person} changed the {what} of {host}.",
            "secondaryDescription": f"IP address: {address}",
            "siteId": site_id,
            "siteName": site,
            "threatId": None,
            "userId": person_id,
        }


def _long_id(rng: random.Random) -> str:
    return str(rng.randrange(10**17, 10**18))


Change = Callable[[int, dict[str, object]], None]


def _add_field(number: int, activity: dict[str, object]) -> None:
    activity["addedByAnUpdate"] = {"number": number, "kind": "a field that no stream declares"}


def _add_secret(number: int, activity: dict[str, object]) -> None:
    if number % 100 == 0:
        activity["data"] = {**cast("dict[str, object]", activity["data"]), "licenseKey": "k"}


def _add_escapes(number: int, activity: dict[str, object]) -> None:
    activity["secondaryDescription"] = (
        f'"{number}"\tof a file\nwith a path like C:\\Windows\\{number}'
    )


def _add_umlauts(number: int, activity: dict[str, object]) -> None:
    activity["secondaryDescription"] = f"Grüße aus Zürich, 東京 and {number} Плохих файлов"


# What a vendor's update or its users may do to each record: "" leaves it as it is.
KINDS: Mapping[str, Change] = {
    "": lambda _number, _activity: None,
    "field": _add_field,
    "secret": _add_secret,
    "escapes": _add_escapes,
    "umlauts": _add_umlauts,
}


def activity_bodies(count: int, seed: int = 6, kind: str = "") -> list[bytes]:
    """``count`` activities encoded, without the opening brace: an id and times go before them."""
    tenant = Tenant(random.Random(seed))
    activities = [tenant.activity() for _ in range(count)]
    for number, activity in enumerate(activities):
        KINDS[kind](number, activity)
    return [orjson.dumps(activity)[1:] for activity in activities]


class Vendor:
    """SentinelOne and Jira without faults, as fast as a server of Python can be."""

    def __init__(self, now: datetime) -> None:
        self._start = (now - SPREAD - _EPOCH) // _MICROSECOND
        self._bodies = {kind: activity_bodies(_BODIES, kind=kind) for kind in KINDS}
        self._heads: dict[int, list[bytes]] = {}

    def routes(self) -> list[web.RouteDef]:
        """SentinelOne's lists and Jira's audit log, each behind a tenant's name."""
        api = "/{tenant}/web/api/v2.1"
        return [
            web.get("/local/prepare/{count}", self._prepare),
            web.get(api + "/activities", self._activities),
            web.post(api + "/unifiedalerts/graphql", self._graphql),
            web.post(api + "/users/api-token-details", self._token),
            web.get(api + "/sites", self._sites),
            web.get(api + "/tenant/policy", self._policy),
            web.get(api + "/{list:.*}", self._nothing),
            web.get("/{tenant}/rest/api/3/auditing/record", self._jira),
        ]

    async def _activities(self, request: web.Request) -> web.StreamResponse:
        size, _, kind = request.match_info["tenant"].split("-")
        count = int(size)
        step = SPREAD // _MICROSECOND // max(count, 1)
        low = self._first(request.query["createdAt__gte"], step, count)
        high = self._first(request.query["createdAt__lt"], step, count)
        at = int(request.query.get("cursor", low))
        until = min(at + PAGE, high)
        following = b'"%d"' % until if until < high else b"null"
        heads, bodies = self._heads[count], self._bodies[kind]
        body = b'{"data":[%s],"pagination":{"totalItems":%d,"nextCursor":%s}}' % (
            b",".join([heads[number] + bodies[number % _BODIES] for number in range(at, until)]),
            high - low,
            following,
        )
        return await _in_pieces(request, body)

    def _first(self, text: str, step: int, count: int) -> int:
        """The number of the first record at or after the time ``text``."""
        at = (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
        return min(max(-((self._start - at) // step), 0), count)

    async def _prepare(self, request: web.Request) -> web.Response:
        count = int(request.match_info["count"])
        if count not in self._heads:
            step = SPREAD // _MICROSECOND // max(count, 1)
            self._heads[count] = [self._head(number, step) for number in range(count)]
        return json_answer({})

    def _head(self, number: int, step: int) -> bytes:
        """The beginning of a record: its id and its times."""
        moment = _NAIVE_EPOCH + timedelta(microseconds=self._start + number * step)
        time = moment.isoformat(timespec="microseconds") + "Z"
        return f'{{"id":"{number:018d}","createdAt":"{time}","updatedAt":"{time}",'.encode()

    async def _graphql(self, _request: web.Request) -> web.Response:
        ends = {"hasNextPage": False, "endCursor": None}
        return json_answer({"data": {"alerts": {"totalCount": 0, "pageInfo": ends, "edges": []}}})

    async def _token(self, _request: web.Request) -> web.Response:
        return json_answer({"data": {"expiresAt": (utc_now() + timedelta(days=90)).isoformat()}})

    async def _sites(self, _request: web.Request) -> web.Response:
        return json_answer({"data": {"sites": []}, "pagination": {"totalItems": 0}})

    async def _policy(self, _request: web.Request) -> web.Response:
        return json_answer({"data": {"mitigationMode": "detect"}})

    async def _nothing(self, _request: web.Request) -> web.Response:
        return json_answer({"data": [], "pagination": {"totalItems": 0, "nextCursor": None}})

    async def _jira(self, _request: web.Request) -> web.Response:
        return json_answer({"offset": 0, "limit": PAGE, "total": 0, "records": []})


async def _in_pieces(request: web.Request, body: bytes) -> web.StreamResponse:
    """Write a megabyte in pieces: asyncio's TLS copies a large write again and again."""
    answer = web.StreamResponse(headers={"Content-Length": str(len(body))})
    answer.content_type = "application/json"
    await answer.prepare(request)
    for at in range(0, len(body), _PIECE):
        await answer.write(body[at : at + _PIECE])
    await answer.write_eof()
    return answer


def main() -> None:
    """Serve until standard input closes; print its address as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.vendor")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--plain", action="store_true", help="http instead of https")
    options = parser.parse_args()
    tls = certificates()
    context = None if options.plain else tls.server_context()

    async def requests(_request: web.Request) -> web.Response:
        return json_answer([request.path for request in server.requests])

    routes = [web.get("/local/requests", requests), *Vendor(utc_now()).routes()]
    with LocalServer(routes, tls=context) as server:
        server.latency = options.latency
        serve_until_stdin_closes({"url": server.url})


if __name__ == "__main__":
    main()
