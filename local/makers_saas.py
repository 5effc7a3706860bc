"""Jira's audit records and OneLogin's events, about the same made-up company."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from local.makers import USERS, guid

Record = dict[str, Any]

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
]


def jira_record(n: int, created: datetime) -> Record:
    """One audit record; keys that would be empty are absent, as in Jira."""
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


# event_type_id, notes
ONELOGIN = [(5, "Login"), (6, "Failed login"), (8, "App launched"), (11, "Password changed")]
ONELOGIN += [(13, "User created"), (72, "Role granted"), (3, "User assumed"), (22, "MFA removed")]


def onelogin_event(n: int, at: datetime) -> Record:
    """One event of the broadcaster, known by uuid; unused fields are null or absent."""
    kind, notes = ONELOGIN[n % len(ONELOGIN)]
    uuid = guid("onelogin", n)
    event: Record = {
        "uuid": uuid,
        "create": {"_id": uuid},
        "event_timestamp": at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "event_type_id": kind,
        "account_id": 88211,
        "user_id": 41000 + n % len(USERS),
        "user_name": USERS[n % len(USERS)],
        "actor_user_id": 41000 + (n + 1) % len(USERS),
        "actor_user_name": USERS[(n + 1) % len(USERS)],
        "actor_system": "",
        "ipaddr": f"203.0.113.{n % 250}",
        "notes": notes,
        "custom_message": None,
        "error_description": "Wrong password" if kind == 6 else None,
        "user_agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
        "risk_score": n % 100,
        "risk_reasons": "Low trust" if n % 9 == 0 else None,
    }
    if kind == 8:
        event |= {"app_id": 700 + n % 5, "app_name": "Wiki"}
    if kind == 72:
        event |= {"role_id": 900, "role_name": "Administrators"}
    if n % 4 == 0:
        event["user_attributes"] = {"department": "Logistics", "title": "Planner"}
    return event
