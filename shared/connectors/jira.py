"""Jira Cloud's audit records, newest first in pages by offset.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-audit-records/
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from shared.errors import VendorAnswerInvalid
from shared.records.raw import Record, records_of
from shared.settings.app import JiraSettings, read_jira
from shared.source.ascending import ascending
from shared.source.client import ApiClient, expect
from shared.source.connector import Connection, Connector
from shared.source.stream import Page, Stream, Window

PATH = "/rest/api/3/auditing/record"
LIMIT = 1000

STREAM = Stream(
    name="Custom-JiraAudit",
    setting_name="jiraaudit",
    watermark="created",
    event_time="created",
    keys=(("id",),),
)


class _Listed(msgspec.Struct):
    """A page of the audit log."""

    records: list[Record]
    total: Any = None


class AuditRecords:
    """The audit log as a source: each window's ``from`` and ``to`` are fixed for its walk."""

    stream = STREAM
    parallelism = 1

    def __init__(self, session: ApiClient, url: str) -> None:
        self._session = session
        self._url = url + PATH

    def pages(self, window: Window | None) -> Iterator[Page]:
        """One page a window, or a half of a half of one, oldest record first."""
        if window is None:
            raise ValueError("Jira's audit records are read by windows")
        return ascending(window, self._newest_first, STREAM.watermark, LIMIT)

    def _newest_first(self, window: Window) -> Iterator[Page]:
        # Both ends are inclusive; what stands on an edge twice is known by its id.
        times = {"from": _milliseconds(window.start), "to": _milliseconds(window.end, up=True)}
        offset = 0
        while True:
            asked = {"offset": offset, "limit": LIMIT, **times}
            answer = self._session.get(self._url, asked, _Listed)
            records = records_of(expect(answer, "Jira", PATH, "records"))
            if records is None:
                raise VendorAnswerInvalid(f"Jira answered {PATH} with records that are no objects")
            total = answer.json.get("total")
            total = total if isinstance(total, int) else None
            yield Page(records, answer.size, total, answer.vendor_time)
            # By what came, not by what was asked for: a page may be shorter than its limit.
            offset += len(records)
            whole = len(records) < LIMIT and total is not None and offset >= total
            if not records or whole:
                return


def _milliseconds(moment: datetime, *, up: bool = False) -> str:
    """``2026-01-02T03:04:05.678+0000``, Jira's precision, rounded down or up."""
    moment = moment.astimezone(UTC)
    if up and moment.microsecond % 1000:
        moment += timedelta(milliseconds=1)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "+0000"


def _explain(status: int) -> str:
    if status == 401:
        return "JiraUsername and JiraAccessToken do not fit, or the token has expired"
    if status == 403:
        return (
            "the account in JiraUsername needs the global permission Administer Jira, and the "
            "site a plan with an audit log"
        )
    if status == 400:
        return "Jira does not take the request's parameters"
    return "see whether JiraHomeSiteName is the site's address"


def connection(settings: JiraSettings) -> Connection:
    """Jira as ``settings`` name it: Basic auth with e-mail address and token."""
    login = f"{settings.username}:{settings.access_token}".encode()
    headers = {"Authorization": f"Basic {base64.b64encode(login).decode()}"}
    session = ApiClient("Jira", settings.url, headers, _explain)
    source = AuditRecords(session, settings.url)
    return Connection(settings.url, session, [source], settings.polling)


def connect() -> Connection | None:
    """By the app's settings; None where Jira is off."""
    settings = read_jira()
    return connection(settings) if settings else None


CONNECTOR = Connector("Jira", connect)
