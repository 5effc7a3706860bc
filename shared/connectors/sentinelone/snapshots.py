"""Sites and policies: no list of changes, so all of them are read and compared with the last."""

from __future__ import annotations

from collections.abc import Iterator

from shared.connectors.sentinelone.answers import API, list_of, total
from shared.connectors.sentinelone.lists import next_cursor
from shared.errors import VendorRefused
from shared.records.raw import Record, as_record, decoded
from shared.source.client import ApiClient
from shared.source.stream import Page, Stream, Window

_LIMITS = {"/accounts": 1000, "/sites": 1000, "/groups": 300}
# The scopes that have a policy, with the names that the list of each stands under in its answer.
_SCOPES = (
    ("account", "/accounts", ("data",)),
    ("site", "/sites", ("data", "sites")),
    ("group", "/groups", ("data",)),
)
_POLICIES_A_PAGE = 100


def _all(client: ApiClient, url: str, path: str, *names: str) -> Iterator[Page]:
    """Every page of an endpoint that has no filter by time."""
    cursor: str | None = None
    while True:
        asked: dict[str, object] = {"limit": _LIMITS[path]}
        if cursor:
            asked["cursor"] = cursor
        response = client.get(url + API + path, asked)
        records = list_of(response, *names)
        pagination = response.json.get("pagination") or {}
        following = next_cursor(response)
        yield Page(
            records, response.size, total(pagination), response.vendor_time, following is None
        )
        if following is None:
            return
        if following == cursor:
            raise response.invalid("with the same nextCursor twice")
        cursor = following


class Sites:
    """Every site; ``/sites`` nests its list at ``data.sites``."""

    parallelism = 1

    def __init__(self, client: ApiClient, url: str, stream: Stream) -> None:
        self.stream = stream
        self._client = client
        self._url = url

    def pages(self, _: Window | None) -> Iterator[Page]:
        """All sites as they are now."""
        return _all(self._client, self._url, "/sites", "data", "sites")


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

    def pages(self, _: Window | None) -> Iterator[Page]:
        """All policies as they are now, one request each."""
        waiting: list[Record] = []
        size, readable, refusal = 0, 0, None
        for level, scope_id, name, path in self._scopes():
            try:
                response = self._client.get(self._url + API + path)
            except VendorRefused as error:
                if error.status not in (403, 404):
                    raise
                refusal = error
                continue
            policy = response.require("data")
            if not isinstance(policy, dict):
                raise response.invalid("with data that is no object")
            readable += 1
            scope = {"scopeLevel": level, "scopeId": scope_id, "scopeName": name}
            waiting.append(as_record({**policy, **scope}))
            size += response.size
            if len(waiting) == _POLICIES_A_PAGE:
                yield Page(waiting, size)
                waiting, size = [], 0
        if not readable and refusal:
            raise refusal
        yield Page(waiting, size, last=True)

    def probe(self) -> None:
        """One request, for the tenant's policy; a token of one site sees only its own scopes'."""
        try:
            self._client.get(self._url + API + "/tenant/policy")
        except VendorRefused as error:
            if error.status not in (403, 404):
                raise
            self._client.get(self._url + API + "/sites", {"limit": 1})

    def _scopes(self) -> Iterator[tuple[str, str, str, str]]:
        """(level, id, name, path of the policy) of every scope."""
        yield "tenant", "", "", "/tenant/policy"
        for level, path, names in _SCOPES:
            try:
                for page in _all(self._client, self._url, path, *names):
                    for scope in map(decoded, page.records):
                        scope_id = str(scope.get("id", ""))
                        yield (
                            level,
                            scope_id,
                            str(scope.get("name", "")),
                            f"{path}/{scope_id}/policy",
                        )
            except VendorRefused as error:
                # A token of one site sees no accounts.
                if error.status not in (403, 404):
                    raise
