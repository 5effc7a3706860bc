"""The rules over ASIM: what several sources show together, each event once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.rules import files
from tests.rules.sentinel import DAY, HOUR, MINUTE, Clock, Sentinel
from tests.rules.vendors import JIRA, ONELOGIN, group, jira, onelogin, permission
from tools.content import StreamDecl, Table, load_tables

pytestmark = pytest.mark.slow

GUESSED = files.rule("AsimFailedLoginsThenSuccess")
GRANTED = files.rule("AsimPrivilegedRoleGranted")
OTHER = "Custom-Other"

# Azure's table of sign-ins, which stands for all other sources: its rows are in the schema already.
_COLUMNS = {
    "TimeGenerated": "datetime",
    "EventStartTime": "datetime",
    **dict.fromkeys(
        "EventType EventResult EventVendor EventProduct EventOriginalUid EventUid TargetUsername"
        " TargetUserScope SrcIpAddr".split(),
        "string",
    ),
}
_SIGN_INS = Table(
    name="ASimAuthenticationEventLogs",
    description="Sign-ins of other sources",
    connector="Health",
    rule_setting=None,
    log_type=None,
    columns=_COLUMNS,
    streams={OTHER: StreamDecl(OTHER, _COLUMNS, "source")},
    optional_columns=(),
)


@pytest.fixture(scope="module")
def clock() -> Iterator[Clock]:
    """A workspace that has another source of sign-ins beside ours."""
    opened = Clock((*load_tables(), _SIGN_INS))
    yield opened
    opened.workspace.close()


def other(at: datetime, result: str, uid: str, user: str = "ada@example.com") -> dict[str, object]:
    """A sign-in of another source."""
    return {
        "TimeGenerated": at.isoformat(),
        "EventStartTime": at.isoformat(),
        "EventType": "Logon",
        "EventResult": result,
        "EventVendor": "Contoso",
        "EventProduct": "VPN",
        "EventOriginalUid": uid,
        "TargetUsername": user,
        "SrcIpAddr": "198.51.100.77",
    }


def fails_elsewhere(sentinel: Sentinel, count: int, user: str = "ada@example.com") -> None:
    """That many failures at the other source, one a minute from noon, arriving as they happen."""
    for number in range(count):
        at = sentinel.noon + number * MINUTE
        uid = f"v-{sentinel.noon:%d%m%y}-{number}"
        sentinel.arrives(at, OTHER, other(at, "Failure", uid, user))


def succeeds(sentinel: Sentinel, minutes: int, *, late: datetime | None = None) -> None:
    """A login to OneLogin that many minutes after noon."""
    at = sentinel.noon + minutes * MINUTE
    event = onelogin(5, at, uuid=f"s-{at:%d%m%H%M}", user_name="Ada", ipaddr="192.0.2.66")
    sentinel.arrives(late or at, ONELOGIN, event)


def test_failures_at_one_source_and_a_success_at_another_are_one_alert(sentinel: Sentinel) -> None:
    """Ten failures at a VPN and a login to OneLogin are one alert that names both."""
    fails_elsewhere(sentinel, 10)
    succeeds(sentinel, 10)
    (alert,) = sentinel.alerts(GUESSED)
    assert (alert["Failures"], alert["FailedAt"]) == (10, "VPN")
    assert (alert["SuccessProduct"], alert["SuccessIp"]) == ("OneLogin IAM", "192.0.2.66")


def test_events_that_come_again_are_the_same_alert(sentinel: Sentinel) -> None:
    """Rows sent twice make up no burst, and raise its alert once."""
    for _ in range(3):
        fails_elsewhere(sentinel, 4)
    succeeds(sentinel, 4)
    fails_elsewhere(sentinel, 10)
    for minutes in (10, 10, 10):
        succeeds(sentinel, minutes)
    succeeds(sentinel, 10, late=sentinel.noon + 5 * HOUR)
    assert len(sentinel.alerts(GUESSED)) <= 1


def test_nine_failures_or_another_persons_are_none(sentinel: Sentinel) -> None:
    """A few failures, and failures of another user, raise no alert."""
    fails_elsewhere(sentinel, 9)
    fails_elsewhere(sentinel, 12, user="bob@example.com")
    succeeds(sentinel, 12)
    assert sentinel.alerts(GUESSED) == []


def test_failures_and_success_of_one_source_are_left_to_its_rule(sentinel: Sentinel) -> None:
    """What OneLogin saw alone is no alert across sources."""
    for number in range(12):
        at = sentinel.noon + number * MINUTE
        event = onelogin(6, at, uuid=f"o-{at:%d%m%H%M}", user_name="Ada")
        sentinel.arrives(at, ONELOGIN, event)
    succeeds(sentinel, 12)
    assert sentinel.alerts(GUESSED) == []


def test_a_success_that_arrives_late_is_an_alert(sentinel: Sentinel) -> None:
    """A success that arrives hours after its failures raises the alert then."""
    fails_elsewhere(sentinel, 10)
    succeeds(sentinel, 10, late=sentinel.noon + 6 * HOUR)
    assert len(sentinel.alerts(GUESSED)) == 1


def test_privileged_roles_of_every_source_are_an_alert_each(sentinel: Sentinel) -> None:
    """OneLogin's privilege and Jira's group and permission: who, by whom, and once each."""
    at = sentinel.noon + MINUTE
    privilege = onelogin(72, at, uuid=f"p-{at:%d%m}", privilege_name="Super user")
    member = jira("User added to group", at, key=at.toordinal(), **group("site-admins"))
    added = permission("Administer Jira")
    allowed = jira("Global permission added", at, key=at.toordinal() + 10**6, **added)
    for again in (at, at, sentinel.noon + 3 * HOUR):
        sentinel.arrives(again, ONELOGIN, privilege)
        sentinel.arrives(again, JIRA, member)
        sentinel.arrives(again, JIRA, allowed)
    alerts = sentinel.alerts(GRANTED)
    assert sorted((alert["Product"], alert["To"]) for alert in alerts) == [
        ("Jira Audit", "Global Permissions"),
        ("Jira Audit", "eve@example.com"),
        ("OneLogin IAM", "Ada Example"),
    ]


def test_roles_that_administer_nothing_are_none(sentinel: Sentinel) -> None:
    """An ordinary role, a group whose name only holds the letters, and old grants raise none."""
    at = sentinel.noon + MINUTE
    role = onelogin(147, at, uuid=f"r-{at:%d%m}", role_name="Badminton club")
    sentinel.arrives(at, ONELOGIN, role)
    member = jira("User added to group", at, key=at.toordinal() + 2, **group("rooters"))
    sentinel.arrives(at, JIRA, member)
    old = sentinel.noon - 3 * DAY
    sentinel.arrives(at, ONELOGIN, onelogin(72, old, uuid=f"q-{at:%d%m}", role_name="Admins"))
    assert sentinel.alerts(GRANTED) == []
