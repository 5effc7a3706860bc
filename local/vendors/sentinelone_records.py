"""SentinelOne's records about a made-up company; the same for the same numbers.

Names, hosts and addresses are invented (RFC 5737 and 2606); shapes follow the vendors' own.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from local.vendors.company import USERS, guid, number
from local.vendors.record_store import Record

ACCOUNT = {"accountId": "433241117337583618", "accountName": "Northwind"}
SITES = [("551799238352448315", "Head office"), ("551799242253151036", "Plants")]
GROUPS = [
    ("551799238369225532", "Default Group"),
    ("690410927112450001", "Servers"),
    ("690410927112450002", "Laptops"),
    ("690410927112450003", "Kiosks"),
]

# activityType, description, the fields of `data` that only this type has
ACTIVITIES: list[tuple[int, str, Record]] = [
    (27, "logged in to the management console with IP Address", {"ipAddress": "198.51.100.7"}),
    (27, "logged in to the management console with IP Address", {"ipAddress": "198.51.100.9"}),
    (92, "initiated a full disk scan on", {"shouldReboot": False}),
    (23, "added the management user", {"newValue": "viewer", "role": "Viewer"}),
    (31, "uninstalled the agent of", {"uuid": "9de5069c-5afe-602b-2ea0-a04b66beb2c0"}),
    (64, "viewed the passphrase of", {"system": False}),
    (3002, "added to the blocklist the hash", {"fileContentHash": "02699626f388ed830012e5b78764"}),
    (3600, "created the custom rule", {"ruleId": 1187263544, "ruleName": "LSASS access"}),
    (
        3608,
        "raised an alert by the custom rule",
        {"ruleName": "LSASS", "ruleSeverity": "High"},
    ),
    (5126, "changed the policy of", {"newValue": True, "policy": {"id": "77120"}}),
]


def when(moment: datetime, digits: int = 6) -> str:
    """SentinelOne's time: ISO 8601 in UTC with a fraction of any length."""
    text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return f"{text[: 20 + digits]}Z" if digits else f"{text[:19]}Z"


def activity(n: int, at: datetime) -> Record:
    """A line of the activity log; `data` differs by type, and `accountId` varies in type."""
    kind, text, extra = ACTIVITIES[n % len(ACTIVITIES)]
    user, (site, site_name) = USERS[n % len(USERS)], SITES[n % 2]
    return {
        "id": number("activity", n),
        "activityType": kind,
        "activityUuid": guid("activity", n),
        **ACCOUNT,
        "agentId": number("agent", n % 40) if kind in {31, 92} else None,
        "agentUpdatedVersion": None,
        "comments": None,
        "createdAt": when(at, (6, 6, 3, 2, 0)[n % 5]),
        "data": {
            "accountId": int(ACCOUNT["accountId"]) if n % 3 else ACCOUNT["accountId"],
            "accountName": ACCOUNT["accountName"],
            "computerName": f"WS-{n % 40:04}",
            "fullScopeDetails": f"Site {site_name} of Account Northwind",
            "fullScopeDetailsPath": f"Global / Northwind / {site_name}",
            "groupName": GROUPS[n % 4][1],
            "scopeLevel": "Site",
            "scopeName": site_name,
            "siteName": site_name,
            "source": "mgmt",
            "userScope": "account",
            "username": user,
            **extra,
        },
        "description": None,
        "groupId": GROUPS[n % 4][0],
        "groupName": GROUPS[n % 4][1],
        "hash": None,
        "osFamily": "windows" if n % 4 else None,
        "primaryDescription": f"The management user {user} {text} WS-{n % 40:04}.",
        "secondaryDescription": f"IP address: 198.51.100.{n % 250}" if n % 7 == 0 else None,
        "siteId": site,
        "siteName": site_name,
        "threatId": None,
        # As seen in the field, earlier than createdAt.
        "updatedAt": when(at - timedelta(milliseconds=2)),
        "userId": number("user", n % len(USERS)),
    }


def threat(n: int, created: datetime, updated: datetime | None = None) -> Record:
    """A threat; it changes in place as people work on it. Its times are in threatInfo."""
    sha1 = hashlib.sha1(f"threat{n}".encode(), usedforsecurity=False).hexdigest()
    state = ("unresolved", "in_progress", "resolved")[n % 3]
    return {
        "id": number("threat", n),
        "threatInfo": {
            "threatId": number("threat", n),
            "threatName": f"invoice_{n}.pdf.exe",
            "classification": ("Malware", "Trojan", "PUA", "Ransomware")[n % 4],
            "classificationSource": "Static",
            "confidenceLevel": ("malicious", "suspicious")[n % 2],
            "analystVerdict": "undefined",
            "incidentStatus": state,
            "mitigationStatus": "mitigated" if n % 5 else "not_mitigated",
            "detectionEngines": [{"key": "pre_execution", "title": "On-Write Static AI"}],
            "filePath": f"\\Device\\HarddiskVolume3\\Users\\Public\\invoice_{n}.pdf.exe",
            "fileSize": 20_000 + n,
            "sha1": sha1,
            "storyline": guid("storyline", n).upper(),
            "processUser": f"NORTHWIND\\{USERS[n % len(USERS)]}",
            "rebootRequired": False,
            "identifiedAt": when(created),
            "createdAt": when(created),
            "updatedAt": when(updated or created),
        },
        "agentDetectionInfo": {
            **ACCOUNT,
            "agentUuid": guid("agent", n % 40).replace("-", ""),
            "agentOsName": "Windows 11 Pro",
            "agentVersion": "24.1.4.257",
            "siteId": SITES[n % 2][0],
            "siteName": SITES[n % 2][1],
            "externalIp": f"203.0.113.{n % 250}",
        },
        "agentRealtimeInfo": {
            **ACCOUNT,
            "agentId": number("agent", n % 40),
            "agentComputerName": f"WS-{n % 40:04}",
            "agentOsType": "windows",
            "agentInfected": True,
            "activeThreats": n % 3,
            "networkInterfaces": [
                {"id": str(n), "inet": [f"10.0.0.{n % 250}"], "name": "Ethernet"}
            ],
        },
        "indicators": [
            {
                "category": "Evasion",
                "ids": [n % 90],
                "description": "Packed file",
                "tactics": [{"name": "Defense Evasion", "techniques": [{"name": "T1027.002"}]}],
            }
        ],
        "mitigationStatus": [{"action": "quarantine", "status": "success"}],
        "containerInfo": {"id": None, "image": None, "labels": None, "name": None},
        "kubernetesInfo": {"cluster": None, "pod": None},
        "whiteningOptions": ["hash", "path"],
    }


def alert(n: int, created: datetime, reported: datetime | None = None) -> Record:
    """A STAR alert, known by alertInfo.alertId; reported some seconds after it was created."""
    return {
        "agentDetectionInfo": {
            "uuid": guid("agent", n % 40).replace("-", ""),
            "name": f"WS-{n % 40:04}",
            "machineType": "laptop",
            "osFamily": "windows",
            "osName": "Windows 11 Pro",
            "siteId": SITES[n % 2][0],
            "version": "24.1.4.257",
        },
        "alertInfo": {
            "alertId": number("alert", n),
            "analystVerdict": "Undefined",
            "createdAt": when(created),
            "reportedAt": when(reported or created + timedelta(seconds=7)),
            "updatedAt": when(reported or created + timedelta(seconds=7)),
            "eventType": "PROCESSCREATION",
            "hitType": "Events",
            "incidentStatus": "Unresolved",
            "source": "DEEP_VISIBILITY",
            "dstIp": None,
        },
        "ruleInfo": {
            "id": number("rule", n % 4),
            "name": ("LSASS access", "Encoded PowerShell", "New service", "Archive upload")[n % 4],
            "severity": ("Low", "Medium", "High", "Critical")[n % 4],
            "scopeLevel": "account",
            "treatAsThreat": "UNDEFINED",
        },
        "sourceProcessInfo": {
            "name": "powershell.exe",
            "commandline": f"powershell -NoProfile -File C:\\Tools\\report_{n}.ps1",
            "pid": str(4000 + n),
            "user": f"NORTHWIND\\{USERS[n % len(USERS)]}",
        },
        "sourceParentProcessInfo": {"name": "explorer.exe", "pid": str(2000 + n)},
        "targetProcessInfo": {"tgtProcName": "net.exe", "tgtProcPid": str(6000 + n)},
        "containerInfo": {"id": None},
        "kubernetesInfo": {"cluster": None},
    }


def unified_alert(n: int, detected: datetime) -> Record:
    """An alert of the unified alert management."""
    return {
        "id": guid("unified", n),
        "name": f"Suspicious sign-in {n}",
        "description": "A sign-in that does not fit the user's habits",
        "severity": ("LOW", "MEDIUM", "HIGH", "CRITICAL")[n % 4],
        "status": "NEW",
        "analystVerdict": "UNDEFINED",
        "classification": "UNDEFINED",
        "confidenceLevel": "SUSPICIOUS",
        "detectedAt": when(detected, 3),
        "createdAt": when(detected + timedelta(seconds=3), 3),
        "updatedAt": when(detected + timedelta(seconds=3), 3),
        "firstSeenAt": when(detected, 3),
        "lastSeenAt": when(detected, 3),
        "externalId": number("unified", n),
        "storylineId": None,
        "result": "UNMITIGATED",
        "noteExists": False,
        "attackSurfaces": ["IDENTITY"],
        "detectionSource": {"engine": "ITDR", "product": "Identity"},
        "asset": {
            "id": number("agent", n % 40),
            "name": f"WS-{n % 40:04}",
            "type": "Laptop",
            "osType": "WINDOWS",
            "agentUuid": guid("agent", n % 40).replace("-", ""),
        },
        "assignee": None,
        "process": None,
    }


def agent(n: int, updated: datetime, *, registered: datetime | None = None) -> Record:
    """An agent; its heartbeat moves updatedAt all the time. It carries its licence key."""
    return {
        "id": number("agent", n),
        **ACCOUNT,
        "activeDirectory": {"computerDistinguishedName": None, "computerMemberOf": []},
        "activeThreats": n % 2,
        "agentVersion": "24.1.4.257",
        "allowRemoteShell": False,
        "computerName": f"WS-{n:04}",
        "coreCount": 8,
        "cpuCount": 8,
        "createdAt": when(registered or updated - timedelta(days=90)),
        "domain": "NORTHWIND",
        "encryptedApplications": True,
        "externalIp": f"203.0.113.{n % 250}",
        "firewallEnabled": True,
        "groupId": GROUPS[n % 4][0],
        "groupName": GROUPS[n % 4][1],
        "infected": bool(n % 2),
        "isActive": True,
        "isDecommissioned": False,
        "isUpToDate": True,
        "lastActiveDate": when(updated),
        "lastLoggedInUserName": USERS[n % len(USERS)],
        "licenseKey": f"LICENCE-{n:06}",
        "locations": [{"id": "1", "name": "Fallback", "scope": "global"}],
        "machineType": ("laptop", "desktop", "server")[n % 3],
        "mitigationMode": "protect",
        "modelName": "Contoso Book 14",
        "networkInterfaces": [
            {"id": str(n), "inet": [f"10.0.{n // 250}.{n % 250}"], "name": "Ethernet"}
        ],
        "networkStatus": "connected",
        "osArch": "64 bit",
        "osName": "Windows 11 Pro",
        "osType": "windows",
        "registeredAt": when(registered or updated - timedelta(days=90)),
        "scanStatus": "finished",
        "siteId": SITES[n % 2][0],
        "siteName": SITES[n % 2][1],
        "totalMemory": 16_384,
        "updatedAt": when(updated),
        "userActionsNeeded": [],
        "uuid": guid("agent", n).replace("-", ""),
    }


def group(n: int, updated: datetime) -> Record:
    """A group of agents; it carries the token by which agents join."""
    known = n < len(GROUPS)
    return {
        "id": GROUPS[n][0] if known else number("group", n),
        "name": GROUPS[n][1] if known else f"Group {n}",
        "createdAt": when(updated - timedelta(days=200)),
        "creator": USERS[n % len(USERS)],
        "creatorId": number("user", n % len(USERS)),
        "inherits": True,
        "isDefault": n == 0,
        "rank": n or None,
        "registrationToken": f"REGISTRATION-{n:06}",
        "siteId": SITES[n % 2][0],
        "totalAgents": 10 * n,
        "type": "static",
        "updatedAt": when(updated),
    }


def device_event(n: int, at: datetime) -> Record:
    """A USB or Bluetooth device that was connected or blocked."""
    return {
        "id": number("device", n),
        "agentId": number("agent", n % 40),
        "computerName": f"WS-{n % 40:04}",
        "createdAt": when(at + timedelta(seconds=4)),
        "deviceName": ("USB Mass Storage", "Headset", "Phone")[n % 3],
        "deviceClass": ("08h", "01h", "06h")[n % 3],
        "eventId": guid("device", n),
        "eventTime": when(at),
        "eventType": ("connected", "blocked", "disconnected")[n % 3],
        "interface": ("USB", "Bluetooth")[n % 2],
        "lastLoggedInUserName": USERS[n % len(USERS)],
        "ruleId": None,
        "siteName": SITES[n % 2][1],
        "vendorId": f"{0x1000 + n % 4000:04x}",
    }


def application(n: int, installed: datetime) -> Record:
    """A program found on an endpoint."""
    return {
        "id": number("application", n),
        "agentComputerName": f"WS-{n % 40:04}",
        "agentUuid": guid("agent", n % 40).replace("-", ""),
        "name": ("7-Zip", "Firefox", "Python", "PuTTY")[n % 4],
        "publisher": "Example Publisher",
        "version": f"{n % 30}.{n % 10}",
        "riskLevel": ("none", "low", "medium", "high")[n % 4],
        "size": 1_000_000 + n,
        "type": "app",
        "osType": "windows",
        "installedAt": when(installed),
        "signed": True,
    }


def site(n: int) -> Record:
    """A site of the account."""
    return {
        "id": SITES[n][0] if n < len(SITES) else number("site", n),
        "name": SITES[n][1] if n < len(SITES) else f"Site {n}",
        **ACCOUNT,
        "state": "active",
        "siteType": "Paid",
        "totalLicenses": 500,
        "activeLicenses": 40 + n,
        "registrationToken": f"REGISTRATION-SITE-{n:06}",
    }


def policy(n: int) -> Record:
    """A policy; it does not say whose it is."""
    return {
        "mitigationMode": ("protect", "detect")[n % 2],
        "mitigationModeSuspicious": "detect",
        "agentUi": {"agentUiOn": True, "showSuspicious": bool(n % 2)},
        "engines": {"preExecution": "on", "reputation": "on"},
        "isDefault": n == 0,
        "updatedAt": "2025-03-01T09:00:00Z",
    }
