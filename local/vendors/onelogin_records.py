"""OneLogin's events about the made-up company."""

from __future__ import annotations

from datetime import UTC, datetime

from local.vendors.company import USERS, guid
from local.vendors.record_store import Record

# event_type_id, notes
ONELOGIN = [(5, "Login"), (6, "Failed login"), (8, "App launched"), (11, "Password changed")]
ONELOGIN += [(13, "User created"), (72, "Role granted"), (3, "User assumed"), (22, "MFA removed")]


def onelogin_event(n: int, at: datetime) -> Record:
    """An event of the broadcaster, known by uuid; unused fields are null or absent."""
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
