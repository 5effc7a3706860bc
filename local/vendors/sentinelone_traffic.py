"""SentinelOne's part in the demo: a tenant with its inventory, and a week of detections."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from local.vendors.record_store import Record
from local.vendors.sentinelone import SentinelOne
from local.vendors.sentinelone_records import (
    ACCOUNT,
    SITES,
    activity,
    agent,
    alert,
    application,
    device_event,
    group,
    policy,
    site,
    threat,
    unified_alert,
    when,
)
from local.vendors.traffic import SEED, Period, Traffic
from local.vendors.vendor import Vendor, VendorStream

NAME = "SentinelOne"
REPORTED_AFTER = timedelta(seconds=7)
POLICIES = "policies"


def _reported(n: int, at: datetime) -> Record:
    """An alert whose report is at ``at``: until then the vendor does not show it."""
    return alert(n, at - REPORTED_AFTER, at)


def _on_time(at: datetime) -> datetime:
    return at


# stream, maker, records a week
EVENTS: tuple[tuple[str, Callable[[int, datetime], Record], int], ...] = (
    ("activities", activity, 6000),
    ("alerts", _reported, 300),
    ("unifiedalerts", unified_alert, 250),
    ("threats", threat, 200),
    ("devicecontrol", device_event, 600),
    ("applications", application, 800),
)
# Streams whose records have their ids as the console learns of them, and the times of late ones:
# a device that was off line for hours, an agent that enrols with programs of years ago.
BY_ID: Mapping[str, Callable[[datetime], datetime]] = {
    "devicecontrol": lambda at: at - timedelta(hours=11),
    "applications": lambda at: (
        at.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3 * 365)
    ),
}
FIRST_ID = 10**19


class SentinelOneAccount:
    """A tenant under way; see ``local.vendors.vendor.Account``."""

    def __init__(self, tenant: SentinelOne) -> None:
        self.tenant = tenant
        self._made = 0
        self._learned = 0
        self._late: list[tuple[str, Record]] = []

    @property
    def port(self) -> int:
        """The console's port."""
        return self.tenant.server.port

    @property
    def settings(self) -> Mapping[str, str]:
        """The tenant's address and token; inventory each run, and no waiting for the rate limit."""
        return {
            "SentinelOneUrl": self.tenant.url,
            "SentinelOneAPIToken": self.tenant.token,
            "SentinelOneInventoryMinutes": "0",
            "SentinelOneRequestsPerSecond": "100",
        }

    def fill(self, period: Period) -> None:
        """Add the period's detections; before the first period, the inventory too."""
        if not self.tenant.ids("agents"):
            self._add_inventory(period)
        traffic = Traffic(NAME, period, self._made)
        for stream, make, a_week in EVENTS:
            on_time, late = traffic.with_late(a_week)
            self._learn(stream, [make(n, at) for n, at in on_time])
            own_time = BY_ID.get(stream, _on_time)
            self._late += [(stream, make(n, own_time(at))) for n, at in late]
        self._made = traffic.made

    def _learn(self, stream: str, records: Sequence[Record]) -> None:
        """Show the records; where a stream is read by id, with ids above all earlier ones."""
        if stream in BY_ID:
            for record in records:
                record["id"] = str(FIRST_ID + self._learned)
                self._learned += 1
        self.tenant.add(stream, records)

    def _add_inventory(self, period: Period) -> None:
        """Agents, groups, sites, accounts and their policies."""
        tenant, now = self.tenant, period.end
        source = random.Random(SEED)
        minutes = [source.uniform(1, 7 * 24 * 60) for _ in range(round(900 * period.size))]
        heartbeats = [now - timedelta(minutes=each) for each in minutes]
        tenant.add("agents", (agent(n, at) for n, at in enumerate(heartbeats)))
        groups = max(4, round(30 * period.size))
        tenant.add("groups", (group(n, now - timedelta(hours=3 + n)) for n in range(groups)))
        tenant.add("sites", (site(n) for n in range(len(SITES))))
        account = {"id": ACCOUNT["accountId"], "name": ACCOUNT["accountName"], "state": "active"}
        tenant.add("accounts", [account])
        scopes = [("tenant", ""), ("accounts", str(ACCOUNT["accountId"]))]
        scopes += [("sites", site_id) for site_id, _ in SITES]
        scopes += [("groups", group_id) for group_id in tenant.ids("groups")]
        tenant.policies |= {scope: policy(n) for n, scope in enumerate(scopes)}

    def release_late(self) -> int:
        """Show the late records, with their own times of minutes to years ago; return how many."""
        for stream, record in self._late:
            self._learn(stream, [record])
        count, self._late = len(self._late), []
        return count

    def change(self, now: datetime) -> int:
        """Resolve some threats and let some agents report: both change in place."""
        stamp = when(now)
        resolved = {"threatInfo.incidentStatus": "resolved", "threatInfo.updatedAt": stamp}
        heartbeat = {"lastActiveDate": stamp, "updatedAt": stamp, "isActive": True}
        threats, agents = self.tenant.ids("threats")[::9], self.tenant.ids("agents")[::11]
        for record_id in threats:
            self.tenant.update("threats", record_id, resolved)
        for record_id in agents:
            self.tenant.update("agents", record_id, heartbeat)
        return len(threats) + len(agents)

    def records(self, stream: VendorStream) -> list[Record]:
        """The records of a stream; a policy is known by its scope alone."""
        name = _setting_name(stream)
        if name == POLICIES:
            return [{"scopeId": scope_id} for _, scope_id in self.tenant.policies]
        return self.tenant.streams[name].records()

    def save(self) -> dict[str, Any]:
        """Every stream's records, the policies by scope, and how far the numbers have come."""
        streams = self.tenant.streams.items()
        return {
            "made": self._made,
            "learned": self._learned,
            "records": {name: collection.records() for name, collection in streams},
            "policies": [[*scope, body] for scope, body in self.tenant.policies.items()],
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Restore the state that save() returned."""
        self._made = saved["made"]
        self._learned = saved.get("learned", 0)
        for stream, records in saved["records"].items():
            self.tenant.add(stream, records)
        for level, scope_id, body in saved["policies"]:
            self.tenant.policies[level, scope_id] = body


def _setting_name(stream: VendorStream) -> str:
    """activities of Custom-SentinelOneActivities."""
    return stream.stream.removeprefix(f"Custom-{NAME}").lower()


def _stream(
    name: str, fields: Sequence[str], columns: Sequence[str], watermark: str = ""
) -> VendorStream:
    query = f'SentinelOne_CL | where event_name_s == "{name}."'
    label, stream = f"{NAME} {name}", f"Custom-{NAME}{name}"
    return VendorStream(label, stream, query, tuple(fields), tuple(columns), watermark)


@contextmanager
def _serve(port: int) -> Iterator[SentinelOneAccount]:
    with SentinelOne(port=port) as tenant:
        yield SentinelOneAccount(tenant)


VENDOR = Vendor(
    NAME,
    "SentinelOneTimer",
    "SentinelOne | summarize Events = count() by EventType | order by Events",
    (
        _stream("Alerts", ["alertInfo.alertId"], ["alertInfo_alertId_s"], "alertInfo.reportedAt"),
        _stream("UnifiedAlerts", ["id"], ["id_s"], "detectedAt"),
        _stream(
            "Threats",
            ["id", "threatInfo.updatedAt"],
            ["id_s", "threatInfo_updatedAt_t"],
            "threatInfo.updatedAt",
        ),
        _stream("Activities", ["id"], ["id_s"], "createdAt"),
        _stream("DeviceControl", ["id"], ["id_s"], "eventTime"),
        _stream("Agents", ["id", "updatedAt"], ["id_s", "updatedAt_t"], "updatedAt"),
        _stream("Groups", ["id", "updatedAt"], ["id_s", "updatedAt_t"], "updatedAt"),
        _stream("Applications", ["id"], ["id_s"], "installedAt"),
        _stream("Policies", ["scopeId"], ["scopeId_s"]),
        _stream("Sites", ["id"], ["id_s"]),
    ),
    _serve,
    connections=("", "emea"),
)
