"""OneLogin's events about the made-up company."""

from __future__ import annotations

from datetime import UTC, datetime

from local.vendors.company import USERS, guid
from local.vendors.record_store import Record

# event_type_id, notes, the fields that only this type has.
# https://developers.onelogin.com/api-docs/1/events/event-types
ONELOGIN: list[tuple[int, str, Record]] = [
    (5, "Login", {}),
    (6, "Failed login", {"error_description": "Wrong password"}),
    (8, "App launched", {"app_id": 700, "app_name": "Wiki"}),
    (11, "Password changed", {}),
    (13, "User created", {}),
    (72, "Privilege granted", {"privilege_id": "17", "privilege_name": "Super user"}),
    (3, "User assumed", {}),
    (24, "MFA removed", {"otp_device_id": 51, "otp_device_name": "Authenticator"}),
    (5, "Login", {"authentication_factor_description": "Authenticator"}),
    (1002, "Challenge failed", {"authentication_factor_description": "Authenticator"}),
    (147, "Added to role", {"role_id": 900, "role_name": "Administrators"}),
    (7, "Logout", {}),
    (8, "App launched", {"app_id": 702, "app_name": "Payroll"}),
    (157, "Policy updated", {"policy_id": 31, "policy_name": "Staff", "policy_type": "User"}),
    (19, "User locked", {}),
    (148, "Removed from role", {"role_id": 901, "role_name": "Contractors"}),
    (9, "App login failed", {"app_id": 700, "app_name": "Wiki"}),
    (1303, "App update refused", {"app_id": 700, "app_name": "Wiki"}),
    (9044, "Adding to role refused", {"role_id": 900, "role_name": "Administrators"}),
    (22, "MFA added", {"otp_device_id": 52, "otp_device_name": "Security key"}),
]


def onelogin_event(n: int, at: datetime) -> Record:
    """An event of the broadcaster, known by uuid; unused fields are null or absent."""
    kind, notes, fields = ONELOGIN[n % len(ONELOGIN)]
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
        "error_description": None,
        "user_agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
        "risk_score": n % 100,
        "risk_reasons": "Low trust" if n % 9 == 0 else None,
        **fields,
    }
    if n % 4 == 0:
        event["user_attributes"] = {"department": "Logistics", "title": "Planner"}
    return event


# The fields that the API's records do not have.
_POSTED_ONLY = ("uuid", "create", "event_timestamp", "user_agent", "user_attributes")


def listed_event(n: int, at: datetime) -> Record:
    """The same event as the API lists it: known by a number, with its time in milliseconds."""
    event = onelogin_event(n, at)
    kept = {name: value for name, value in event.items() if name not in _POSTED_ONLY}
    return {"id": 9_000_000 + n, "created_at": api_time(at), **kept}


def api_time(moment: datetime) -> str:
    """A time as the API writes it."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
