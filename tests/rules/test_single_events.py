"""Rules that a single event fires: fired, nearly fired, late, sent twice, and long past."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.rules import files, vendors
from tests.rules.sentinel import DAY, HOUR, MINUTE, Sentinel

pytestmark = pytest.mark.slow

Event = Callable[[datetime], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """A rule, an event that fires it, events that only look like it, and what the alert says."""

    rule: str
    stream: str
    event: Event
    says: dict[str, Any]
    near_misses: dict[str, Event] = field(default_factory=dict)
    also: dict[str, Event] = field(default_factory=dict)


def activity(kind: int, **data: Any) -> Event:
    return lambda at: vendors.activity(kind, at, **data)


def onelogin(kind: int, **fields: Any) -> Event:
    return lambda at: vendors.onelogin(kind, at, **fields)


def listed(kind: int, **fields: Any) -> Event:
    return lambda at: vendors.listed(kind, at, **fields)


def jira(summary: str, **fields: Any) -> Event:
    return lambda at: vendors.jira(summary, at, **fields)


CASES = [
    Case(
        "SentinelOneConsoleUserAdded",
        vendors.ACTIVITIES,
        activity(23, username="new@example.com", byUser="boss@example.com", role="Admin"),
        {"NewUser": "new@example.com", "AddedByName": "boss", "Role": "Admin"},
        {
            "a user who logged in": activity(27),
            "a user who was deleted": activity(24),
        },
    ),
    Case(
        "SentinelOneAgentUnprotected",
        vendors.ACTIVITIES,
        activity(31, computerName="LAPTOP-7"),
        {"Action": "Agent uninstalled", "HostName": "LAPTOP-7", "UserName": "admin"},
        {"an agent that was scanned": activity(92, computerName="LAPTOP-7")},
        {"a passphrase that was viewed": activity(64, computerName="LAPTOP-7")},
    ),
    Case(
        "SentinelOneDetectionRuleDisabled",
        vendors.ACTIVITIES,
        activity(3603, ruleName="Mimikatz", ruleSeverity="High", username="admin@example.com"),
        {"Action": "disabled", "RuleName": "Mimikatz", "UserName": "admin"},
        {"a rule that was made": activity(3600, ruleName="Mimikatz")},
        {
            "a rule that was deleted": activity(3602, ruleName="Mimikatz"),
            "a record that spells it userName": activity(
                3603, ruleName="Mimikatz", username=None, userName="admin@example.com"
            ),
        },
    ),
    Case(
        "OneLoginUserAssumed",
        vendors.ONELOGIN,
        onelogin(3),
        {"Assumed": "Ada Example", "AssumedBy": "Root Admin", "IpAddress": "203.0.113.5"},
        {"a login": onelogin(5)},
        {"a user assumed from outside": onelogin(555), "one that the API lists": listed(3)},
    ),
    Case(
        "OneLoginMfaRemoved",
        vendors.ONELOGIN,
        onelogin(24, otp_device_name="OneLogin Protect"),
        {"User": "Ada Example", "Factor": "OneLogin Protect", "Severity": "Medium"},
        {"a device that was added": onelogin(22, otp_device_name="OneLogin Protect")},
        {
            "a factor that was deleted for everybody": onelogin(172),
            "one that the API lists": listed(24, otp_device_name="OneLogin Protect"),
        },
    ),
    Case(
        "OneLoginPrivilegeGranted",
        vendors.ONELOGIN,
        onelogin(72, privilege_name="Super user"),
        {"Privilege": "Super user", "Severity": "High", "GrantedBy": "Root Admin"},
        {"a privilege that was revoked": onelogin(73, privilege_name="Super user")},
        {
            "a privilege of the account": onelogin(70),
            "the management of a role": onelogin(151, role_name="Finance"),
            "one that the API lists": listed(72, privilege_name="Super user"),
        },
    ),
    Case(
        "JiraAdminGroupChanged",
        vendors.JIRA,
        jira("User added to group", **vendors.group("site-admins")),
        {
            "GroupName": "site-admins",
            "MemberName": "eve",
            "Severity": "Medium",
            "IpAddress": "198.51.100.20",
        },
        {
            "a group of users": jira("User added to group", **vendors.group("jira-users")),
            "a name that only contains it": jira(
                "User added to group", **vendors.group("badminton-club")
            ),
            "a name that only ends so": jira("User added to group", **vendors.group("taskadmins")),
            "a name that only begins so": jira(
                "User added to group", **vendors.group("administration-staff")
            ),
            "another change of such a group": jira("Group created", **vendors.group("site-admins")),
        },
        {
            "somebody who left": jira("User removed from group", **vendors.group("org-admins")),
            "a site's own group": jira("User added to group", **vendors.group("jira-admins-acme")),
            "the classic group": jira(
                "User added to group", **vendors.group("jira-administrators")
            ),
            "such a group deleted": jira("Group deleted", **vendors.group("administrators")),
        },
    ),
    Case(
        "JiraGlobalPermissionAdded",
        vendors.JIRA,
        jira("Global permission added", **vendors.permission("Administer Jira")),
        {
            "Granted": "Administer Jira, contractors",
            "Severity": "High",
            "GrantedByName": "boss",
            "IpAddress": "198.51.100.20",
        },
        {
            "a permission that was removed": jira(
                "Global permission removed", **vendors.permission("Administer Jira")
            ),
            "a permission scheme": jira("Permission scheme updated"),
        },
        {
            "a lesser permission": jira(
                "Global permission added", **vendors.permission("Browse users")
            )
        },
    ),
    Case(
        "TrapEyeNewThreat",
        vendors.TRAPEYE,
        vendors.decoy_touched,
        {
            "source_ip": "203.0.113.99",
            "reverse_lookup": "scanner.example.net",
            "AlertName": "TrapEye: new threat from 203.0.113.99",
        },
        {
            "an interaction, which the stream does not take": lambda at: vendors.decoy_touched(
                at, event_type="new_interaction"
            )
        },
        {
            "a source without a name": lambda at: vendors.decoy_touched(
                at, reverse_lookup="", source_asn="", source_country=""
            )
        },
    ),
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)


@each_case
def test_an_event_raises_one_alert_that_says_what_happened(case: Case, sentinel: Sentinel) -> None:
    """An event that arrives a minute later raises one alert, with the event's own details."""
    sentinel.arrives(sentinel.noon + MINUTE, case.stream, case.event(sentinel.noon))
    (alert,) = sentinel.alerts(files.rule(case.rule))
    assert {name: alert[name] for name in case.says} == case.says


@pytest.mark.parametrize(
    ("case", "what"),
    [(case, what) for case in CASES for what in case.also],
    ids=lambda value: value.rule if isinstance(value, Case) else value,
)
def test_its_other_forms_raise_an_alert_too(case: Case, what: str, sentinel: Sentinel) -> None:
    """Each other event that the rule's description promises raises one alert."""
    sentinel.arrives(sentinel.noon + MINUTE, case.stream, case.also[what](sentinel.noon))
    assert len(sentinel.alerts(files.rule(case.rule))) == 1


@pytest.mark.parametrize(
    ("case", "what"),
    [(case, what) for case in CASES for what in case.near_misses],
    ids=lambda value: value.rule if isinstance(value, Case) else value,
)
def test_a_near_miss_raises_none(case: Case, what: str, sentinel: Sentinel) -> None:
    """An event that only resembles the one that the rule looks for raises no alert."""
    sentinel.arrives(sentinel.noon + MINUTE, case.stream, case.near_misses[what](sentinel.noon))
    assert sentinel.alerts(files.rule(case.rule)) == []


@each_case
def test_an_event_that_arrives_late_raises_its_alert(case: Case, sentinel: Sentinel) -> None:
    """An event that arrives a day and a half after it happened still raises one alert."""
    sentinel.arrives(sentinel.noon, case.stream, case.event(sentinel.noon - 36 * HOUR))
    assert len(sentinel.alerts(files.rule(case.rule))) == 1


@each_case
def test_an_event_sent_again_raises_one_alert(case: Case, sentinel: Sentinel) -> None:
    """The same event twice in a batch, in the next run's window and a day later is one alert.

    Ids are unique within a connection: another connection's event with that id is no repeat.
    """
    event = case.event(sentinel.noon)
    for later in (MINUTE, MINUTE, 20 * MINUTE, DAY):
        sentinel.arrives(sentinel.noon + later, case.stream, event)
    alerts = [""]
    if case.stream != vendors.TRAPEYE:
        theirs = {**event, "AdditionalFields": {"Connection": "emea"}}
        for later in (20 * MINUTE, DAY):
            sentinel.arrives(sentinel.noon + later, case.stream, theirs)
        alerts.append("emea")
    rule = files.rule(case.rule)
    assert [alert.get("Connection") or "" for alert in sentinel.alerts(rule)] == alerts
    assert case.stream == vendors.TRAPEYE or "Connection" in rule.body["customDetails"]


@each_case
def test_history_raises_none(case: Case, sentinel: Sentinel) -> None:
    """An event of three days ago, whose TimeGenerated Azure replaces, raises no alert."""
    sentinel.arrives(sentinel.noon + MINUTE, case.stream, case.event(sentinel.noon - 3 * DAY))
    assert sentinel.alerts(files.rule(case.rule)) == []


@each_case
def test_windows_meet_without_gap_or_overlap(case: Case, sentinel: Sentinel) -> None:
    """An event that arrives at the very instant of a run raises one alert, not none and not two."""
    sentinel.arrives(sentinel.noon, case.stream, case.event(sentinel.noon - MINUTE))
    assert len(sentinel.alerts(files.rule(case.rule))) == 1


def test_events_without_an_id_are_an_alert_each(sentinel: Sentinel) -> None:
    """They are known by their time and their users."""
    for seconds in (0, 1, 1):
        at = sentinel.noon + timedelta(seconds=seconds)
        event = vendors.onelogin(3, at, uuid="", create=None)
        sentinel.arrives(sentinel.noon + MINUTE, vendors.ONELOGIN, event)
    assert len(sentinel.alerts(files.rule("OneLoginUserAssumed"))) == 2


def test_a_user_who_removes_their_own_device_is_of_low_severity(sentinel: Sentinel) -> None:
    """Changing one's own second factor is common, so its alert says so by its severity."""
    own = vendors.onelogin(24, sentinel.noon, actor_user_id=501, actor_user_name="Ada Example")
    sentinel.arrives(sentinel.noon + MINUTE, vendors.ONELOGIN, own)
    (alert,) = sentinel.alerts(files.rule("OneLoginMfaRemoved"))
    assert alert["Severity"] == "Low"


def test_an_address_is_told_apart_from_a_name(sentinel: Sentinel) -> None:
    """A user known by an address gives a name and a suffix; one known by a name gives a name."""
    known = vendors.onelogin(3, sentinel.noon, user_attributes={"email": "ada@example.com"})
    sentinel.arrives(sentinel.noon + MINUTE, vendors.ONELOGIN, known)
    (alert,) = sentinel.alerts(files.rule("OneLoginUserAssumed"))
    assert (alert["AssumedName"], alert["AssumedSuffix"]) == ("ada", "example.com")
    assert (alert["AssumedByName"], alert["AssumedBySuffix"] or "") == ("Root Admin", "")
