"""Jira Cloud's audit records on loopback: newest first, offset paging, inclusive ends.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-audit-records/
"""

from __future__ import annotations

import argparse
import base64
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from aiohttp import web

from local.loopback.server import (
    Clock,
    json_answer,
    serve_until_stdin_closes,
    utc_now,
)
from local.vendors.record_store import Between, Collection, Record, microseconds
from local.vendors.served import ServedVendor

USERNAME = "auditor@example.com"
TOKEN = "local-jira-token"
PATH = "/rest/api/3/auditing/record"
MAX_LIMIT = 1000
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?(Z|[+-]\d\d:?\d\d)")


class Jira(ServedVendor):
    """A site. `longest_page` shortens pages; `phantom_total` is added to `total`.

    `denied` is the status for a missing permission or a plan without an audit log; 0 for none.
    """

    def __init__(self, *, now: Clock = utc_now, port: int = 0) -> None:
        self.username, self.token = USERNAME, TOKEN
        self.longest_page = MAX_LIMIT
        self.phantom_total = 0
        self.denied = 0
        super().__init__(
            [web.get("/{prefix:(ex/jira/[^/]+)?}" + PATH, self._audit), web.get(PATH, self._audit)],
            port=port,
            now=now,
        )
        self.audit_records = Collection({"created": "created"}, now=self.clock)

    def add(
        self,
        records: Iterable[Record],
        *,
        visible_at: datetime | None = None,
        at: datetime | None = None,
    ) -> None:
        """Add records; see Collection.add."""
        self.audit_records.add(records, visible_at=visible_at, at=at)

    def ids(self) -> list[str]:
        """The ids of the records that are visible now."""
        return self.audit_records.ids()

    async def _audit(self, request: web.Request) -> web.Response:
        login = base64.b64encode(f"{self.username}:{self.token}".encode()).decode()
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Basic {login}".encode()):
            return _error(401, "Client must be authenticated to access this resource.")
        if self.denied:
            return _error(self.denied, "You are not authorized to perform this action.")
        try:
            offset = _number(request.query, "offset", 0)
            limit = min(_number(request.query, "limit", MAX_LIMIT), MAX_LIMIT, self.longest_page)
            within = Between(_moment(request.query, "from"), _moment(request.query, "to"))
        except ValueError as error:
            return _error(400, str(error))
        # `to` is inclusive to the millisecond that it names.
        if within.high is not None:
            within = Between(within.low, within.high + 999)
        items, total, _ = self.audit_records.page(
            "created", descending=True, bounds={"created": within}, skip=offset, limit=limit
        )
        head = {"offset": offset, "limit": limit, "total": total + self.phantom_total}
        records = b",".join(item.body for item in items)
        body = json.dumps(head).encode()[:-1] + b',"records":[' + records + b"]}"
        return web.Response(body=body, content_type="application/json")


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdigit():
        raise ValueError(f"The value of {name} is not a number that is 0 or more.")
    return int(text)


def _moment(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    moment = microseconds(text) if TIME.fullmatch(text) else None
    if moment is None:
        # A plus sign that was not percent-encoded arrives as a space, and is refused here.
        raise ValueError(f"The value of {name} is not a date and time with its zone.")
    return moment


def _error(status: int, message: str) -> web.Response:
    return json_answer({"errorMessages": [message], "errors": {}}, status)


def main() -> None:
    """Serve until standard input closes: `python -m local.vendors.jira`."""
    parser = argparse.ArgumentParser(prog="python -m local.vendors.jira")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    options = parser.parse_args()
    with Jira(port=options.port) as vendor:
        vendor.server.latency = options.latency
        serve_until_stdin_closes(
            {
                "JiraHomeSiteName": vendor.url,
                "JiraUsername": vendor.username,
                "JiraAccessToken": vendor.token,
            }
        )


if __name__ == "__main__":
    main()
