"""Makers of the vendors' records that the rules are about, in the shapes that the vendors send."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.rules.sentinel import sent

ACTIVITIES = "Custom-SentinelOneActivities"
THREATS = "Custom-SentinelOneThreats"
ONELOGIN = "Custom-OneLogin"
JIRA = "Custom-JiraAudit"
TRAPEYE = "Custom-TrapEyeThreats"
HEALTH = "Custom-ConnectorHealth"


def iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def activity(kind: int, at: datetime, *, key: str = "1001", **data: Any) -> dict[str, Any]:
    """An activity of SentinelOne's console of the type ``kind``."""
    record = {
        "id": key,
        "activityType": kind,
        "createdAt": iso(at),
        "updatedAt": iso(at),
        "agentId": "7001",
        "siteName": "Lyon",
        "userId": "42",
        "primaryDescription": f"Something of type {kind} happened.",
        "data": {"username": "admin@example.com", "fullScopeDetails": "Site Lyon", **data},
    }
    return sent(ACTIVITIES, record, at, {"event_name": "Activities."})


def threat(
    created: datetime,
    updated: datetime,
    *,
    key: str = "2001",
    mitigation: str = "not_mitigated",
    incident: str = "unresolved",
    verdict: str = "undefined",
) -> dict[str, Any]:
    """A threat as SentinelOne had it at ``updated``."""
    record = {
        "id": key,
        "threatInfo": {
            "threatId": key,
            "threatName": "eicar.com",
            "classification": "Malware",
            "confidenceLevel": "malicious",
            "mitigationStatus": mitigation,
            "incidentStatus": incident,
            "analystVerdict": verdict,
            "filePath": "C:\\Temp\\eicar.com",
            "sha1": "3395856ce81f2b7382dee72602f798b642f14140",
            "processUser": "LYON\\jdoe",
            "createdAt": iso(created),
            "updatedAt": iso(updated),
        },
        "agentDetectionInfo": {"agentIpV4": "192.0.2.10,172.17.0.1", "siteName": "Lyon"},
        "agentRealtimeInfo": {"agentComputerName": "LAPTOP-7"},
    }
    return sent(THREATS, record, updated, {"event_name": "Threats."})


def onelogin(kind: int, at: datetime, *, uuid: str = "e-1", **fields: Any) -> dict[str, Any]:
    """An event of OneLogin's broadcaster of the type ``kind``."""
    record = {
        "uuid": uuid,
        "create": {"_id": uuid},
        "event_timestamp": at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "event_type_id": kind,
        "account_id": 9,
        "user_id": 501,
        "user_name": "Ada Example",
        "actor_user_id": 777,
        "actor_user_name": "Root Admin",
        "actor_system": "",
        "ipaddr": "203.0.113.5",
        "notes": None,
        "role_name": None,
        **fields,
    }
    return sent(ONELOGIN, record, at)


def listed(kind: int, at: datetime, *, key: int = 1, **fields: Any) -> dict[str, Any]:
    """The same event as OneLogin's API lists it: known by a number."""
    event = onelogin(kind, at, **fields)
    for name in ("uuid", "create", "event_timestamp"):
        del event[name]
    return {**event, "id": key, "created_at": iso(at)}


def jira(summary: str, at: datetime, *, key: int = 31, **fields: Any) -> dict[str, Any]:
    """A record of Jira's audit log."""
    record = {
        "id": key,
        "summary": summary,
        "remoteAddress": "198.51.100.20, 10.0.0.1",
        "authorKey": "boss@example.com",
        "authorAccountId": "5ab8f18d",
        "created": at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}+0000",
        "category": "group management",
        "eventSource": "",
        **fields,
    }
    return sent(JIRA, record, at)


def group(name: str, member: str = "eve@example.com") -> dict[str, Any]:
    """The fields of a Jira record about a group's member."""
    return {
        "objectItem": {"name": name, "typeName": "GROUP", "parentName": "Jira Internal Directory"},
        "associatedItems": [{"id": member, "name": member, "typeName": "USER"}],
    }


def permission(name: str) -> dict[str, Any]:
    """The fields of a Jira record about a global permission."""
    return {
        "category": "permissions",
        "objectItem": {"name": "Global Permissions", "typeName": "PERMISSIONS"},
        "changedValues": [
            {"fieldName": "Permission", "changedTo": name},
            {"fieldName": "Group", "changedTo": "contractors"},
        ],
    }


def decoy_touched(at: datetime, **fields: Any) -> dict[str, Any]:
    """A threat as TrapEye itself sends it: no function adds anything."""
    return {
        "event_type": "new_threat",
        "@meta": {"product": "TrapEye", "vendor": "Anantis"},
        "entity_uuid": "0e28f730-18c1-429a-821e-5282cf641dd4",
        "first_interaction": iso(at),
        "last_interaction": iso(at),
        "reverse_lookup": "scanner.example.net",
        "source_asn": "AS64500",
        "source_country": "NL",
        "source_ip": "203.0.113.99",
        "threat_uuid": "9f7c2a1e-0000-4000-8000-000000000001",
        **fields,
    }


def health(at: datetime, **fields: Any) -> dict[str, Any]:
    """A health row of a stream's run."""
    return {
        "TimeGenerated": iso(at),
        "Connector": "SentinelOne",
        "Stream": "Custom-SentinelOneThreats",
        "Status": "ok",
        "Records": 5,
        "Bytes": 5000,
        "BytesRead": 9000,
        "SecondsBehind": 30.0,
        "DurationSeconds": 2.0,
        "Requests": 3,
        "Retries": 0,
        "RepeatsSuppressed": 0,
        "DeadLettered": 0,
        "SpoolDepth": 0,
        "PoisonMessages": 0,
        "Version": "1.0.0",
        "RunId": f"run-{at:%d%H%M%S}",
        **fields,
    }
