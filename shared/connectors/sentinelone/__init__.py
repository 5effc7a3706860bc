"""SentinelOne's Management API v2.1: ten streams, each with its endpoint's filter, sort and limit.

The API's own pages are behind a login (console, Help, API Doc).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.connectors.sentinelone.alerts import UnifiedAlerts
from shared.connectors.sentinelone.lists import Endpoint, ListSource
from shared.connectors.sentinelone.snapshots import Policies, Sites
from shared.connectors.sentinelone.token import token_expires
from shared.settings import checks
from shared.settings.setting import setting
from shared.source.advice import Advice
from shared.source.client import ApiClient
from shared.source.connector import Connection, Connector, Portal
from shared.source.stream import ById, Source, Stream

# Groups carry a site's registration token, agents a licence key.
_SECRETS = ("registrationToken", "licenseKey")


def _stream(
    name: str,
    watermark: str,
    *keys: tuple[str, ...],
    event_time: str = "",
    optional: bool = False,
    inventory: bool = False,
    by_id: ById | None = None,
) -> Stream:
    return Stream(
        name=f"Custom-SentinelOne{name}",
        setting_name=name.lower(),
        watermark=watermark,
        event_time=event_time or watermark,
        keys=keys,
        added={"event_name": f"{name}."},
        redact=_SECRETS,
        optional=optional,
        inventory=inventory,
        by_id=by_id,
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
# The clock of a device that may have been off line for days.
DEVICE_CONTROL = _stream(
    "DeviceControl",
    "eventTime",
    ("id",),
    optional=True,
    by_id=ById(
        timedelta(hours=1),
        timedelta(days=1),
        "Once an hour a day is looked back at, since the console's ids do not grow as it learns of "
        "events.",
    ),
)
AGENTS = _stream("Agents", "updatedAt", ("id", "updatedAt"), inventory=True)
GROUPS = _stream("Groups", "updatedAt", ("id", "updatedAt"), inventory=True)
# A day of installation: years ago for an agent that enrols today.
APPLICATIONS = _stream(
    "Applications",
    "installedAt",
    ("id",),
    optional=True,
    inventory=True,
    by_id=ById(
        timedelta(days=7),
        None,
        "Once a week the whole inventory is read, since the console's ids do not grow as it learns "
        "of applications.",
    ),
)
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


STREAM_NAMES = tuple(STREAMS)


def console_url(value: str) -> str:
    """The console's address, without the API's path that people paste with it."""
    url = checks.https_url(value, "https://acme.sentinelone.net")
    return re.sub(r"/web(/api(/v2\.\d)?)?$", "", url)


def _stream_names(value: str) -> tuple[str, ...]:
    return checks.stream_names(value, STREAM_NAMES)


_NAME = "(" + "|".join(STREAM_NAMES) + ")"


@dataclass(frozen=True, slots=True)
class SentinelOneSettings:
    """``url`` has no trailing slash and no ``/web/api``; ``streams`` are setting names."""

    url: str = setting(
        "SentinelOneUrl",
        "The console's address, with or without a trailing slash.",
        required=True,
        example="https://acme.sentinelone.net",
        check=console_url,
        label="Console address",
        tooltip="The address at which you open SentinelOne's console.",
        pattern="^https://[A-Za-z0-9.-]+(:[0-9]+)?/?$",
        mismatch="An address like https://acme.sentinelone.net",
    )
    api_token: str = setting(
        "SentinelOneAPIToken",
        "A service user's API token with the Viewer role.",
        required=True,
        secret=True,
        check=checks.api_token,
        label="API token",
        tooltip="The token of a service user with the role Viewer (Settings, Users, Service "
        "Users).",
    )
    streams: tuple[str, ...] = setting(
        "SentinelOneStreams",
        "Which streams to poll, comma-separated: " + ", ".join(STREAM_NAMES) + ".",
        default=",".join(STREAM_NAMES),
        default_text="all",
        check=_stream_names,
        label="Streams",
        tooltip="Which streams to collect, separated by commas: "
        + ", ".join(STREAM_NAMES)
        + ". Empty: all.",
        pattern=f"^({_NAME}( *, *{_NAME})*)?$",
        mismatch="Names from the help text, separated by commas",
    )
    requests_per_second: float = setting(
        "SentinelOneRequestsPerSecond",
        "The most requests a second sent to the console.",
        default="10",
        bounds=(0.1, 10_000),
    )
    inventory_minutes: float = setting(
        "SentinelOneInventoryMinutes",
        "How often agents, groups, applications, policies and sites are looked at.",
        default="60",
        bounds=(0, 7 * 24 * 60),
    )


def connect(settings: SentinelOneSettings, advice: Advice) -> Connection:
    """The console as ``settings`` name it, with the streams they choose, in the table's order."""
    url = settings.url
    headers = {"Authorization": f"ApiToken {settings.api_token}"}
    client = ApiClient(advice, url, headers, settings.requests_per_second)
    others: Mapping[str, Callable[[], Source]] = {
        "unifiedalerts": lambda: UnifiedAlerts(client, url, UNIFIED_ALERTS),
        "policies": lambda: Policies(client, url, POLICIES),
        "sites": lambda: Sites(client, url, SITES),
    }
    sources = [
        others[name]() if name in others else ListSource(client, url, *LISTS[name])
        for name in settings.streams
    ]
    return Connection(
        url,
        client,
        sources,
        settings.inventory_minutes,
        token_expires=lambda: token_expires(client, url, settings.api_token),
    )


CONNECTOR = Connector(
    name="SentinelOne",
    settings=SentinelOneSettings,
    streams=tuple(STREAMS.values()),
    portal=Portal(
        "Collect from SentinelOne",
        "Polls alerts, threats, activities, device control events and inventory every five "
        "minutes.",
    ),
    advice={
        400: "the console does not take the request's parameters",
        401: "{api_token} is wrong, revoked or expired",
        403: "the user of {api_token} lacks the permission to view this (the Viewer role has it), "
        "or the licence lacks the feature",
        404: "{url} is not the console's address, or the licence lacks the feature",
        None: "see whether {url} is the console's address",
    },
    connect=connect,
    streams_field="streams",
)
