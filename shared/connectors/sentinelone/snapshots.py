"""Sites and policies: no list of changes, so all of them are read and compared with the last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from shared.connectors.sentinelone.answers import API
from shared.connectors.sentinelone.lists import listed_page
from shared.errors import VendorRefused
from shared.records.codec import dump_json, parse_json
from shared.records.raw import Record, as_record, decoded
from shared.source.client import ApiClient
from shared.source.cursors import CursorWatch
from shared.source.page_limit import PageLimit
from shared.source.stream import Page, Stream, Window

_LIMITS = {"/accounts": 1000, "/sites": 1000, "/groups": 300}
# The scopes that have a policy, with the names that the list of each stands under in its answer.
_SCOPES = (
    ("account", "/accounts", ("data",)),
    ("site", "/sites", ("data", "sites")),
    ("group", "/groups", ("data",)),
)


@dataclass(frozen=True, slots=True)
class _Place:
    """How far the policies are read: the last scope, and the page of the list that has it.

    ``readable``: whether the token was allowed to see any policy so far.
    """

    level: str = ""
    listed: str = ""
    scope_id: str = ""
    readable: bool = False


def _all(client: ApiClient, url: str, path: str, *names: str, after: str = "") -> Iterator[Page]:
    """Every page of an endpoint that has no filter by time; from the first where ``after`` is
    refused. Each page's cursor resumes behind it."""
    cursor = after
    limit = PageLimit(_LIMITS[path])
    watch = CursorWatch(cursor)
    while True:
        asked = {"cursor": cursor} if cursor else {}
        try:
            response = client.get(url + API + path, asked, limit=limit)
        except VendorRefused as error:
            if error.status != 400 or not after or cursor != after:
                raise
            cursor = after = ""
            watch = CursorWatch(cursor)
            continue
        page = listed_page(response, watch, *names)
        yield page
        if page.last:
            return
        cursor = page.cursor


class Sites:
    """Every site; ``/sites`` nests its list at ``data.sites``."""

    parallelism = 1

    def __init__(self, client: ApiClient, url: str, stream: Stream) -> None:
        self.stream = stream
        self._client = client
        self._url = url

    def pages(self, _: Window | None, after: str = "") -> Iterator[Page]:
        """All sites as they are now."""
        return _all(self._client, self._url, "/sites", "data", "sites", after=after)


class Policies:
    """The policy of the tenant and of every account, site and group.

    A policy does not say whose it is: ``scopeLevel``, ``scopeId`` and ``scopeName`` are added. A
    scope that the token may not see is passed over; if it may see none, that is the error.
    """

    parallelism = 1

    def __init__(self, client: ApiClient, url: str, stream: Stream) -> None:
        self.stream = stream
        self._client = client
        self._url = url

    def pages(self, _: Window | None, after: str = "") -> Iterator[Page]:
        """All policies as they are now, one request and one page each, so that each is a place."""
        place = _place(after)
        readable, refusal = place.readable, None
        for scope, listed in self._scopes(place):
            policies: list[Record] = []
            size = 0
            try:
                response = self._client.get(self._url + API + scope.path)
            except VendorRefused as error:
                if error.status not in (403, 404):
                    raise
                refusal = error
            else:
                policy = response.require("data")
                if not isinstance(policy, dict):
                    raise response.invalid("with data that is no object")
                readable = True
                policies, size = [as_record({**policy, **scope.named()})], response.size
            here = _Place(scope.level, listed, scope.scope_id, readable)
            yield Page(policies, size, cursor=dump_json(asdict(here)).decode())
        if not readable and refusal:
            raise refusal
        yield Page([], 0, last=True)

    def probe(self) -> None:
        """One request, for the tenant's policy; a token of one site sees only its own scopes'."""
        try:
            self._client.get(self._url + API + "/tenant/policy")
        except VendorRefused as error:
            if error.status not in (403, 404):
                raise
            self._client.get(self._url + API + "/sites", {"limit": 1})

    def _scopes(self, place: _Place) -> Iterator[tuple[_Scope, str]]:
        """Every scope behind ``place``, and the cursor of the page of the list that has it."""
        levels = [level for level, _, _ in _SCOPES]
        if place.level not in levels and place.level != _TENANT.level:
            yield _TENANT, ""
        first = levels.index(place.level) if place.level in levels else 0
        for level, path, names in _SCOPES[first:]:
            resumed = place if level == place.level else _Place()
            try:
                yield from self._listed(level, path, names, resumed)
            except VendorRefused as error:
                # A token of one site sees no accounts.
                if error.status not in (403, 404):
                    raise

    def _listed(
        self, level: str, path: str, names: tuple[str, ...], place: _Place
    ) -> Iterator[tuple[_Scope, str]]:
        listed = place.listed
        for page in _all(self._client, self._url, path, *names, after=listed):
            scopes = [_scope(level, path, record) for record in page.records]
            found = [n for n, scope in enumerate(scopes) if scope.scope_id == place.scope_id]
            # Without the last scope, which is gone or on another page by now, read its page again.
            behind = found[0] + 1 if found and place.level else 0
            for scope in scopes[behind:]:
                yield scope, listed
            listed = page.cursor


@dataclass(frozen=True, slots=True)
class _Scope:
    level: str
    scope_id: str
    name: str
    path: str

    def named(self) -> dict[str, str]:
        return {"scopeLevel": self.level, "scopeId": self.scope_id, "scopeName": self.name}


_TENANT = _Scope("tenant", "", "", "/tenant/policy")


def _scope(level: str, path: str, record: Record) -> _Scope:
    found = decoded(record)
    scope_id = str(found.get("id", ""))
    return _Scope(level, scope_id, str(found.get("name", "")), f"{path}/{scope_id}/policy")


def _place(after: str) -> _Place:
    """The place that a page's cursor names; the beginning for any other text."""
    try:
        found = parse_json(after.encode()) if after else {}
        return _Place(**found)
    except (ValueError, TypeError):
        return _Place()
