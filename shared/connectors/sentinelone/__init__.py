"""SentinelOne's Management API v2.1: ten streams, each with its endpoint's filter, sort and limit.

The API's own pages are behind a login (console, Help, API Doc).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shared.connectors.sentinelone.alerts import UnifiedAlerts
from shared.connectors.sentinelone.lists import Endpoint, ListSource
from shared.connectors.sentinelone.snapshots import Policies, Sites
from shared.connectors.sentinelone.token import token_expires
from shared.settings.app import SentinelOneSettings, read_sentinelone
from shared.source.client import ApiClient
from shared.source.connector import Connection, Connector
from shared.source.stream import Source, Stream


def _stream(
    name: str,
    watermark: str,
    *keys: tuple[str, ...],
    event_time: str = "",
    optional: bool = False,
    inventory: bool = False,
) -> Stream:
    return Stream(
        name=f"Custom-SentinelOne{name}",
        setting_name=name.lower(),
        watermark=watermark,
        event_time=event_time or watermark,
        keys=keys,
        added={"event_name": f"{name}."},
        optional=optional,
        inventory=inventory,
    )


ALERTS = _stream(
    "Alerts",
    "alertInfo.reportedAt",
    ("alertInfo.alertId",),
    ("id",),
    event_time="alertInfo.createdAt",
    optional=True,
)
UNIFIED_ALERTS = _stream("UnifiedAlerts", "detectedAt", ("id",), optional=True)
THREATS = _stream("Threats", "threatInfo.updatedAt", ("id", "threatInfo.updatedAt"))
ACTIVITIES = _stream("Activities", "createdAt", ("id",))
DEVICE_CONTROL = _stream("DeviceControl", "eventTime", ("id",), optional=True)
AGENTS = _stream("Agents", "updatedAt", ("id", "updatedAt"), inventory=True)
GROUPS = _stream("Groups", "updatedAt", ("id", "updatedAt"), inventory=True)
APPLICATIONS = _stream("Applications", "installedAt", ("id",), optional=True, inventory=True)
POLICIES = _stream("Policies", "", optional=True, inventory=True)
SITES = _stream("Sites", "", optional=True, inventory=True)

LISTS: Mapping[str, tuple[Stream, Endpoint]] = {
    stream.setting_name: (stream, endpoint)
    for stream, endpoint in (
        (ALERTS, Endpoint("/cloud-detection/alerts", "reportedAt", "alertInfoReportedAt")),
        (THREATS, Endpoint("/threats", "updatedAt", "updatedAt")),
        (ACTIVITIES, Endpoint("/activities", "createdAt", "createdAt")),
        (DEVICE_CONTROL, Endpoint("/device-control/events", "eventTime", "eventTime")),
        (AGENTS, Endpoint("/agents", "updatedAt", "updatedAt")),
        (GROUPS, Endpoint("/groups", "updatedAt", "updatedAt", limit=300)),
        (
            APPLICATIONS,
            Endpoint("/installed-applications", "installedAt", "installedAt", between=True),
        ),
    )
}

STREAMS: Mapping[str, Stream] = {
    stream.setting_name: stream
    for stream in (
        ALERTS,
        UNIFIED_ALERTS,
        THREATS,
        ACTIVITIES,
        DEVICE_CONTROL,
        AGENTS,
        GROUPS,
        APPLICATIONS,
        POLICIES,
        SITES,
    )
}


def _explain(status: int) -> str:
    if status == 401:
        return "SentinelOneAPIToken is wrong, revoked or expired"
    if status == 403:
        return (
            "the user of SentinelOneAPIToken lacks the permission to view this (the Viewer role "
            "has it), or the licence lacks the feature"
        )
    if status == 404:
        return "SentinelOneUrl is not the console's address, or the licence lacks the feature"
    if status == 400:
        return "the console does not take the request's parameters"
    return "see whether SentinelOneUrl is the console's address"


def connection(settings: SentinelOneSettings) -> Connection:
    """The console as ``settings`` name it, with the streams they choose, in the table's order."""
    url = settings.url
    session = ApiClient(
        "SentinelOne",
        url,
        {"Authorization": f"ApiToken {settings.api_token}"},
        _explain,
        settings.requests_per_second,
    )
    others: Mapping[str, Callable[[], Source]] = {
        "unifiedalerts": lambda: UnifiedAlerts(session, url, UNIFIED_ALERTS),
        "policies": lambda: Policies(session, url, POLICIES),
        "sites": lambda: Sites(session, url, SITES),
    }
    sources = [
        others[name]() if name in others else ListSource(session, url, *LISTS[name])
        for name in settings.streams
    ]
    return Connection(
        url,
        session,
        sources,
        settings.polling,
        settings.inventory_minutes,
        token_expires=lambda: token_expires(session, settings),
        left_out=[stream.name for name, stream in STREAMS.items() if name not in settings.streams],
    )


def connect() -> Connection | None:
    """By the app's settings; None where SentinelOne is off."""
    settings = read_sentinelone()
    return connection(settings) if settings else None


CONNECTOR = Connector("SentinelOne", connect)
