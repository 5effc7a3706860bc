"""Jira's part in the demo: a site whose audit log goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from local.vendors.jira import Jira
from local.vendors.jira_records import jira_record
from local.vendors.record_store import Record
from local.vendors.traffic import Period, Traffic
from local.vendors.vendor import Vendor, VendorStream

NAME = "Jira"
RECORDS_A_WEEK = 2500
AUDIT = VendorStream(
    "Jira audit", "Custom-JiraAudit", "Jira_Audit_CL", ("id",), ("id_d",), "created"
)


class JiraAccount:
    """A site under way; see ``local.vendors.vendor.Account``."""

    def __init__(self, site: Jira) -> None:
        self.site = site
        self._made = 0
        self._late: list[Record] = []

    @property
    def port(self) -> int:
        """The site's port."""
        return self.site.server.port

    @property
    def settings(self) -> Mapping[str, str]:
        """The site's address and an account with Administer Jira."""
        return {
            "JiraHomeSiteName": self.site.url,
            "JiraUsername": self.site.username,
            "JiraAccessToken": self.site.token,
        }

    def fill(self, period: Period) -> None:
        """Add the period's audit records."""
        traffic = Traffic(NAME, period, self._made)
        on_time, late = traffic.with_late(RECORDS_A_WEEK)
        self.site.add(jira_record(n, at) for n, at in on_time)
        self._late += [jira_record(n, at) for n, at in late]
        self._made = traffic.made

    def release_late(self) -> int:
        """Show the late records, with their own times of minutes ago; return how many."""
        self.site.add(self._late)
        count, self._late = len(self._late), []
        return count

    def change(self, now: datetime) -> int:  # noqa: ARG002 - part of the Protocol
        """An audit record never changes."""
        return 0

    def records(self, stream: VendorStream) -> list[Record]:  # noqa: ARG002 - there is one stream
        """The audit log."""
        return self.site.audit_records.records()

    def save(self) -> dict[str, Any]:
        """The audit log, and how far the numbers have come."""
        return {"made": self._made, "records": self.site.audit_records.records()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Restore the state that save() returned."""
        self._made = saved["made"]
        self.site.add(saved["records"])


@contextmanager
def _serve(port: int) -> Iterator[JiraAccount]:
    with Jira(port=port) as site:
        yield JiraAccount(site)


VENDOR = Vendor(
    NAME,
    "JiraAuditTimer",
    "JiraAudit | summarize Records = count() by EventCategoryType | order by Records",
    (AUDIT,),
    _serve,
    connections=("", "emea"),
)
