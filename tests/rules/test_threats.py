"""The rule for threats that stay unmitigated: it looks at a threat's latest state."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.rules import files
from tests.rules.sentinel import DAY, HOUR, MINUTE, Sentinel
from tests.rules.vendors import THREATS, threat

pytestmark = pytest.mark.slow

RULE = files.rule("SentinelOneThreatNotMitigated")


def seen(sentinel: Sentinel, at: datetime, **state: str) -> None:
    """A threat of noon, as it stands a minute before it arrives at ``at``."""
    sentinel.arrives(at, THREATS, threat(sentinel.noon, at - MINUTE, **state))


def looks(sentinel: Sentinel, *times: datetime) -> None:
    """Has the rule run around ``times`` too: a mitigated threat of another machine arrives."""
    for number, at in enumerate(times):
        other = threat(at, at, key=f"other-{number}", mitigation="mitigated")
        sentinel.arrives(at, THREATS, other)


def test_a_threat_that_stays_open_raises_one_alert(sentinel: Sentinel) -> None:
    """A quarter of an hour after its arrival an open threat is one alert, and no more later."""
    seen(sentinel, sentinel.noon + 2 * MINUTE)
    looks(sentinel, sentinel.noon + 15 * MINUTE, sentinel.noon + 30 * MINUTE, sentinel.noon + HOUR)
    (alert,) = sentinel.alerts(RULE)
    assert alert["ThreatName"] == "eicar.com"
    assert (alert["HostName"], alert["HostIp"]) == ("LAPTOP-7", "192.0.2.10")
    assert (alert["HashAlgorithm"], alert["Sha1"][:6]) == ("SHA1", "339585")


@pytest.mark.parametrize(
    "settled",
    [
        {"mitigation": "mitigated"},
        {"mitigation": "marked_as_benign"},
        {"incident": "resolved"},
        {"verdict": "false_positive"},
    ],
    ids=lambda state: next(iter(state.values())),
)
def test_a_threat_that_is_settled_in_time_raises_none(
    settled: dict[str, str], sentinel: Sentinel
) -> None:
    """A threat that was open for ten minutes and then settled raises no alert."""
    seen(sentinel, sentinel.noon + 2 * MINUTE)
    seen(sentinel, sentinel.noon + 12 * MINUTE, **settled)
    looks(sentinel, sentinel.noon + 15 * MINUTE, sentinel.noon + 30 * MINUTE)
    assert sentinel.alerts(RULE) == []


def test_the_latest_state_counts_whatever_arrives_last(sentinel: Sentinel) -> None:
    """An open state that arrives after the settled one that followed it raises no alert."""
    sentinel.arrives(
        sentinel.noon + 5 * MINUTE,
        THREATS,
        threat(sentinel.noon, sentinel.noon + 4 * MINUTE, mitigation="mitigated"),
    )
    sentinel.arrives(
        sentinel.noon + 6 * MINUTE, THREATS, threat(sentinel.noon, sentinel.noon + MINUTE)
    )
    looks(sentinel, sentinel.noon + 20 * MINUTE)
    assert sentinel.alerts(RULE) == []


def test_an_open_threat_sent_again_and_changed_is_one_alert(sentinel: Sentinel) -> None:
    """Repeats and further changes of a threat that stays open raise no second alert."""
    for minutes in (2, 2, 8, 40, 300):
        seen(sentinel, sentinel.noon + minutes * MINUTE)
    looks(
        sentinel,
        sentinel.noon + 15 * MINUTE,
        sentinel.noon + 55 * MINUTE,
        sentinel.noon + 315 * MINUTE,
    )
    assert len(sentinel.alerts(RULE)) == 1


def test_a_threat_that_comes_up_again_is_a_second_alert(sentinel: Sentinel) -> None:
    """Open, mitigated and open again hours later is two alerts, one for each spell."""
    seen(sentinel, sentinel.noon + 2 * MINUTE)
    seen(sentinel, sentinel.noon + HOUR, mitigation="mitigated")
    seen(sentinel, sentinel.noon + 3 * HOUR)
    looks(sentinel, sentinel.noon + 15 * MINUTE, sentinel.noon + 3 * HOUR + 10 * MINUTE)
    assert len(sentinel.alerts(RULE)) == 2


def test_a_threat_that_arrives_late_raises_its_alert(sentinel: Sentinel) -> None:
    """A threat of a day and a half ago that arrives only now is an alert."""
    sentinel.arrives(
        sentinel.noon, THREATS, threat(sentinel.noon - 36 * HOUR, sentinel.noon - 36 * HOUR)
    )
    looks(sentinel, sentinel.noon + 15 * MINUTE)
    assert len(sentinel.alerts(RULE)) == 1


def test_old_threats_raise_none(sentinel: Sentinel) -> None:
    """The history that a first run brings, threats of weeks ago, raises no alert."""
    sentinel.arrives(
        sentinel.noon, THREATS, threat(sentinel.noon - 20 * DAY, sentinel.noon - 3 * DAY)
    )
    sentinel.arrives(
        sentinel.noon, THREATS, threat(sentinel.noon - 20 * DAY, sentinel.noon - HOUR, key="2002")
    )
    looks(sentinel, sentinel.noon + 15 * MINUTE)
    assert sentinel.alerts(RULE) == []


def test_a_threat_of_another_connection_with_the_same_id_is_its_own(sentinel: Sentinel) -> None:
    """One that is settled in a console does not settle the other's, and each has its alert."""
    open_one = threat(sentinel.noon, sentinel.noon + MINUTE)
    theirs = {**open_one, "AdditionalFields": {"Connection": "emea"}}
    settled = threat(sentinel.noon, sentinel.noon + 3 * MINUTE, mitigation="mitigated")
    sentinel.arrives(sentinel.noon + 2 * MINUTE, THREATS, theirs)
    sentinel.arrives(sentinel.noon + 4 * MINUTE, THREATS, settled)
    looks(sentinel, sentinel.noon + 15 * MINUTE, sentinel.noon + 30 * MINUTE)
    (alert,) = sentinel.alerts(RULE)
    assert alert["Connection"] == "emea"
