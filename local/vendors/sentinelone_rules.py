"""The parameters that each of SentinelOne's endpoints takes, and the errors for others.

From the vendor's API documentation as connectors in the field confirm it: which time filters an
endpoint has, how many records a page may hold, and the fields it can be sorted by.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from local.loopback.server import json_answer
from local.vendors.record_store import Between, Key, microseconds

BASE = "/web/api/v2.1"
COMPARE = frozenset({"gt", "gte", "lt", "lte"})
BETWEEN = frozenset({"between"})
MAX_SKIP = 1000
AGENT_TIMES = ("createdAt", "updatedAt", "lastActiveDate", "registeredAt")
PAGING = frozenset({"limit", "cursor", "skip", "skipCount", "countOnly", "sortBy", "sortOrder"})
EXACT = {"ids": "id", "siteIds": "siteId", "accountIds": "accountId", "groupIds": "groupId"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A list endpoint: `filters` maps a time to its operators, `times` to where it stands."""

    stream: str
    path: str
    times: Mapping[str, str] = field(default_factory=dict)
    filters: Mapping[str, frozenset[str]] = field(default_factory=dict)
    sorts: Mapping[str, str] = field(default_factory=dict)
    max_limit: int = 1000
    nested: str = ""


def _own(*names: str) -> dict[str, str]:
    return {name: name for name in names}


ENDPOINTS = (
    Endpoint(
        "activities",
        "/activities",
        _own("createdAt"),
        {"createdAt": COMPARE | BETWEEN},
        _own("createdAt", "id", "activityType"),
    ),
    Endpoint(
        "threats",
        "/threats",
        {"createdAt": "threatInfo.createdAt", "updatedAt": "threatInfo.updatedAt"},
        {"createdAt": COMPARE, "updatedAt": COMPARE},
        _own("createdAt", "updatedAt", "id"),
    ),
    Endpoint(
        "agents",
        "/agents",
        _own(*AGENT_TIMES),
        dict.fromkeys(
            ("createdAt", "updatedAt", "lastActiveDate", "registeredAt"), COMPARE | BETWEEN
        ),
        _own(*AGENT_TIMES, "id"),
    ),
    Endpoint(
        "groups",
        "/groups",
        _own("updatedAt"),
        {"updatedAt": COMPARE | BETWEEN},
        _own("updatedAt", "id"),
        max_limit=300,
    ),
    Endpoint(
        "alerts",
        "/cloud-detection/alerts",
        {"createdAt": "alertInfo.createdAt", "reportedAt": "alertInfo.reportedAt"},
        {"createdAt": COMPARE, "reportedAt": COMPARE},
        {"alertInfoCreatedAt": "createdAt", "alertInfoReportedAt": "reportedAt", "id": "id"},
    ),
    Endpoint(
        "devicecontrol",
        "/device-control/events",
        _own("eventTime"),
        {"eventTime": COMPARE | BETWEEN},
        _own("eventTime", "id"),
    ),
    Endpoint(
        "applications",
        "/installed-applications",
        _own("installedAt"),
        {"installedAt": BETWEEN},
        _own("installedAt", "id"),
    ),
    Endpoint("accounts", "/accounts", sorts=_own("id")),
    Endpoint("sites", "/sites", sorts=_own("id"), nested="sites"),
)


class Refused(Exception):
    """A request that the endpoint refuses."""

    def __init__(self, detail: str, status: int = 400, code: int = 4000040) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail

    def answer(self) -> web.Response:
        """The error in SentinelOne's shape."""
        titles = {
            400: "Validation Error",
            401: "Authentication Failed",
            403: "Insufficient permissions",
            404: "Not Found",
        }
        title = titles.get(self.status, "Error")
        error = {"code": self.code, "detail": self.detail or None, "title": title}
        return json_answer({"errors": [error]}, self.status)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A list request, checked against its endpoint."""

    limit: int
    skip: int
    skip_count: bool
    count_only: bool
    sort: str
    descending: bool
    bounds: Mapping[str, Between]
    exact: Mapping[str, frozenset[str]]
    after: Key | None
    tied_to: str


def read(endpoint: Endpoint, query: Mapping[str, str]) -> ListQuery:
    """Parse a list request; raise Refused for parameters that the endpoint does not take."""
    limit = _number(query, "limit", 10)
    if not 1 <= limit <= endpoint.max_limit:
        raise Refused(f"limit: must be between 1 and {endpoint.max_limit}")
    skip = _number(query, "skip", 0)
    if not 0 <= skip <= MAX_SKIP:
        raise Refused(f"skip: must be at most {MAX_SKIP}; use cursor")
    default_sort = next(iter(endpoint.sorts))
    sort_by = query.get("sortBy", default_sort)
    if sort_by not in endpoint.sorts:
        raise Refused(f"sortBy: {sort_by} is not one of {', '.join(endpoint.sorts)}")
    order = query.get("sortOrder", "asc")
    if order not in {"asc", "desc"}:
        raise Refused("sortOrder: must be asc or desc")
    rest = {name: value for name, value in query.items() if name not in PAGING}
    bounds, exact = _filters(endpoint, rest)
    tied_to = hashlib.sha256(json.dumps([sort_by, order, sorted(rest.items())]).encode())
    digest = tied_to.hexdigest()[:16]
    return ListQuery(
        limit=limit,
        skip=skip,
        skip_count=_flag(query, "skipCount"),
        count_only=_flag(query, "countOnly"),
        sort=endpoint.sorts[sort_by],
        descending=order == "desc",
        bounds=bounds,
        exact=exact,
        after=_after(query.get("cursor"), digest),
        tied_to=digest,
    )


def cursor(after: Key, tied_to: str) -> str:
    """Base64 of the last key, and of the filters and sort that it belongs to."""
    keyset = {"id_column": "id", "last": list(after), "tied_to": tied_to}
    return base64.b64encode(json.dumps(keyset).encode()).decode()


def _after(given: str | None, tied_to: str) -> Key | None:
    if given is None:
        return None
    try:
        keyset = json.loads(base64.b64decode(given, validate=True))
        value, record_id = keyset["last"]
    except (binascii.Error, ValueError, KeyError) as error:
        raise Refused("cursor: not a valid cursor") from error
    if keyset["tied_to"] != tied_to:
        raise Refused("cursor: was made for other filters or another sort")
    return value, record_id


def _filters(
    endpoint: Endpoint, rest: Mapping[str, str]
) -> tuple[dict[str, Between], dict[str, frozenset[str]]]:
    bounds: dict[str, dict[str, Any]] = {}
    exact: dict[str, frozenset[str]] = {}
    for name, value in rest.items():
        if name in EXACT:
            exact[EXACT[name]] = frozenset(value.split(","))
            continue
        column, _, operator = name.partition("__")
        if operator not in endpoint.filters.get(column, frozenset()):
            raise Refused(f"{name}: Unknown field")
        bounds.setdefault(column, {}).update(_bound(name, operator, value))
    return {column: Between(**ends) for column, ends in bounds.items()}, exact


def _bound(name: str, operator: str, value: str) -> dict[str, Any]:
    if operator == "between":
        low, dash, high = value.partition("-")
        if not dash or not low.isdigit() or not high.isdigit():
            raise Refused(f"{name}: must be <from>-<to> in milliseconds since 1970")
        return {"low": int(low) * 1000, "high": int(high) * 1000}
    moment = microseconds(value) if "T" in value and value.endswith("Z") else None
    if moment is None:
        raise Refused(f"{name}: Not a valid datetime")
    end = "low" if operator.startswith("g") else "high"
    return {end: moment, f"{end}_open": not operator.endswith("e")}


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(query.get(name, default))
    except ValueError as error:
        raise Refused(f"{name}: Not a valid integer") from error


def _flag(query: Mapping[str, str], name: str) -> bool:
    value = query.get(name, "false").lower()
    if value not in {"true", "false"}:
        raise Refused(f"{name}: Not a valid boolean")
    return value == "true"
