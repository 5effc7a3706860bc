"""Jira Cloud's audit records, newest first in pages by offset.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-audit-records/
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from shared.records.raw import Record, records_of
from shared.settings import checks
from shared.settings.setting import setting
from shared.source.advice import Advice
from shared.source.ascending import ascending
from shared.source.client import ApiClient
from shared.source.connector import Connection, Connector, Portal
from shared.source.page_limit import PageLimit
from shared.source.stream import Page, Stream, Window

PATH = "/rest/api/3/auditing/record"
LIMIT = 1000  # Jira's maximum

AUDIT = Stream(
    name="Custom-JiraAudit",
    setting_name="jiraaudit",
    watermark="created",
    event_time="created",
    keys=(("id",),),
)


def site_url(value: str) -> str:
    """The site's address, from its short name, its host or an address with the API's path."""
    if "://" in value:
        url = checks.https_url(value, "https://acme.atlassian.net")
        return re.sub(r"/rest(/api(/\d)?)?$", "", url)
    name = value.rstrip("/").lower()
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", name):
        raise ValueError("must be acme, acme.atlassian.net or https://acme.atlassian.net")
    return f"https://{name}" if "." in name else f"https://{name}.atlassian.net"


@dataclass(frozen=True, slots=True)
class JiraSettings:
    """``url`` is the site's address without a trailing slash, to which ``/rest/api/3`` is added."""

    url: str = setting(
        "JiraHomeSiteName",
        "`acme`, `acme.atlassian.net` or a full URL, also "
        "`https://api.atlassian.com/ex/jira/{cloudId}`.",
        required=True,
        example="acme",
        check=site_url,
        label="Site",
        tooltip="acme, acme.atlassian.net or a full URL; for a token with scopes "
        "https://api.atlassian.com/ex/jira/<cloudId>.",
        pattern=r"^(https://)?[A-Za-z0-9][A-Za-z0-9.-]*(/ex/jira/[0-9a-fA-F-]+)?/?$",
        mismatch="acme, acme.atlassian.net or a URL that begins with https://",
    )
    username: str = setting(
        "JiraUsername",
        "The e-mail address of an account with Administer Jira.",
        required=True,
        example="audit@acme.example",
        check=checks.email,
        label="Account's email address",
        tooltip="The account that the token belongs to. It needs the global permission Administer "
        "Jira.",
        pattern=r"^[^@\s:]+@[^@\s:]+$",
        mismatch="An email address",
    )
    access_token: str = setting(
        "JiraAccessToken",
        "That account's API token.",
        required=True,
        secret=True,
        check=checks.api_token,
        label="API token",
        tooltip="An API token of that account (id.atlassian.com, Security). It lasts at most 365 "
        "days.",
    )


class _AuditPage(msgspec.Struct):
    records: list[Record]
    total: Any = None


class AuditRecords:
    """The audit log as a source: each window's ``from`` and ``to`` are fixed for its walk."""

    stream = AUDIT
    parallelism = 1

    def __init__(self, client: ApiClient, url: str) -> None:
        self._client = client
        self._limit = PageLimit(LIMIT)
        self._url = url + PATH

    def pages(self, window: Window | None, after: str = "") -> Iterator[Page]:
        """Yield a page a (sub-)window, oldest record first."""
        if window is None:
            raise ValueError("Jira's audit records are read by windows")
        return ascending(window, self._newest_first, AUDIT.watermark, LIMIT, after)

    def _newest_first(self, window: Window, after: str) -> Iterator[Page]:
        # Both ends are inclusive: a record on an edge comes twice and is known by its id.
        times = {"from": _milliseconds(window.start), "to": _milliseconds(window.end, up=True)}
        # Records that arrive meanwhile come first: they push others to a higher offset, where these
        # come twice.
        offset = int(after or 0)
        while True:
            params = {"offset": offset, **times}
            response = self._client.get(self._url, params, _AuditPage, self._limit)
            records = records_of(response.require("records"))
            if records is None:
                raise response.invalid("with records that are no objects")
            total = response.json.get("total")
            total = total if isinstance(total, int) else None
            # Advance by what came: a page may be shorter than its limit.
            offset += len(records)
            yield Page(records, response.size, total, response.vendor_time, cursor=str(offset))
            whole = len(records) < self._limit.value and total is not None and offset >= total
            if not records or whole:
                return


def _milliseconds(moment: datetime, *, up: bool = False) -> str:
    """``2026-01-02T03:04:05.678+0000``, Jira's precision, rounded down or up."""
    moment = moment.astimezone(UTC)
    if up and moment.microsecond % 1000:
        moment += timedelta(milliseconds=1)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "+0000"


def connect(settings: JiraSettings, advice: Advice) -> Connection:
    """Jira as ``settings`` name it: Basic auth with e-mail address and token."""
    login = f"{settings.username}:{settings.access_token}".encode()
    headers = {"Authorization": f"Basic {base64.b64encode(login).decode()}"}
    client = ApiClient(advice, settings.url, headers)
    return Connection(settings.url, client, [AuditRecords(client, settings.url)])


CONNECTOR = Connector(
    name="Jira",
    settings=JiraSettings,
    streams=(AUDIT,),
    portal=Portal(
        "Collect Jira's audit records",
        "Polls the audit log of Jira Cloud every five minutes. Needs a plan that has the audit "
        "log.",
    ),
    advice={
        400: "Jira does not take the request's parameters",
        401: "{username} and {access_token} do not fit, or the token has expired",
        403: "the account in {username} needs the global permission Administer Jira, and the site "
        "a plan with an audit log",
        None: "see whether {url} is the site's address",
    },
    connect=connect,
)
