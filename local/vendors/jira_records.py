"""Jira's audit records about the made-up company."""

from __future__ import annotations

from datetime import UTC, datetime

from local.vendors.company import USERS
from local.vendors.record_store import Record

# summary, category, object, changed values, associated items
JIRA: list[tuple[str, str, Record, list[Record], list[Record]]] = [
    (
        "User added to group",
        "group management",
        {"id": "jira-administrators", "name": "jira-administrators", "typeName": "GROUP"},
        [],
        [{"id": "u1", "name": "ben.okafor", "typeName": "USER", "parentId": "1"}],
    ),
    (
        "User created",
        "user management",
        {"id": "u2", "name": "carla.rossi", "typeName": "USER", "parentId": "1"},
        [{"fieldName": "Email", "changedFrom": "", "changedTo": "carla.rossi@example.com"}],
        [],
    ),
    (
        "Global permission added",
        "permissions",
        {"name": "Global Permissions", "typeName": "PERMISSIONS"},
        [{"fieldName": "Permission", "changedTo": "Administer Jira"}],
        [{"id": "site-admins", "name": "site-admins", "typeName": "GROUP"}],
    ),
    (
        "Workflow updated",
        "workflows",
        {"id": "10021", "name": "Fulfilment", "typeName": "WORKFLOW"},
        [{"fieldName": "Name", "changedFrom": "Fulfillment", "changedTo": "Fulfilment"}],
        [],
    ),
    (
        "User removed from group",
        "group management",
        {"id": "contractors", "name": "contractors", "typeName": "GROUP"},
        [],
        [{"id": "u3", "name": "erin.walsh", "typeName": "USER", "parentId": "1"}],
    ),
    (
        "Project created",
        "projects",
        {"id": "10400", "name": "Warehouse", "typeName": "PROJECT"},
        [{"fieldName": "Key", "changedFrom": "", "changedTo": "WH"}],
        [],
    ),
    (
        "Group created",
        "group management",
        {"id": "auditors", "name": "auditors", "typeName": "GROUP"},
        [],
        [],
    ),
    (
        "Custom field deleted",
        "fields",
        {"id": "customfield_10071", "name": "Pallet", "typeName": "CUSTOM_FIELD"},
        [],
        [],
    ),
    (
        "Permission scheme updated",
        "permissions",
        {"id": "10002", "name": "Warehouse scheme", "typeName": "SCHEME"},
        [{"fieldName": "Permission", "changedFrom": "", "changedTo": "Browse Projects"}],
        [{"id": "auditors", "name": "auditors", "typeName": "GROUP"}],
    ),
    (
        "Notification scheme updated",
        "notifications",
        {"id": "10000", "name": "Default Notification Scheme", "typeName": "SCHEME"},
        [{"fieldName": "Event", "changedFrom": "Issue Created", "changedTo": "Issue Updated"}],
        [],
    ),
    (
        "User deactivated",
        "user management",
        {"id": "u4", "name": "dmitri.volkov", "typeName": "USER", "parentId": "1"},
        [{"fieldName": "Active / Inactive", "changedFrom": "Active", "changedTo": "Inactive"}],
        [],
    ),
    (
        "App installed",
        "system",
        {"name": "Timesheets for Jira", "typeName": "APPLICATION"},
        [],
        [],
    ),
]


def jira_record(n: int, created: datetime) -> Record:
    """An audit record; keys that would be empty are absent, as in Jira."""
    summary, category, item, changed, associated = JIRA[n % len(JIRA)]
    moment = created.astimezone(UTC)
    record: Record = {
        "id": 10_000 + 3 * n,  # ids are not contiguous
        "summary": summary,
        "created": moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}+0000",
        "category": category,
        "eventSource": "",
        "objectItem": item,
    }
    if n % 5:
        record["remoteAddress"] = f"198.51.100.{n % 250}"
        record["authorAccountId"] = f"5b10a2844c20165700ede{n % len(USERS):03}"
    if n % 7 == 0:
        record["authorKey"] = USERS[n % len(USERS)]
        record["description"] = "Changed by an automation rule"
    if changed:
        record["changedValues"] = changed
    if associated:
        record["associatedItems"] = associated
    return record
