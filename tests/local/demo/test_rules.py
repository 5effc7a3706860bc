"""`make rules`: every analytics rule over a made-up week."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from local.demo.rules import daily, main, run_rules
from local.demo.week import Week
from tools.rules import load_rule, load_rules


def test_a_day_stands_in_place_of_the_rules_frequency() -> None:
    """The rest of the query, its look-back included, stays."""
    rule = load_rule("OneLoginMfaRemoved")
    query = daily(rule)
    assert "FirstArrived > ago(1d)" in query
    assert query.replace("FirstArrived > ago(1d)", "FirstArrived > ago(15m)") == rule.query


@pytest.mark.slow
def test_every_rule_runs_over_the_week() -> None:
    """A privilege that was granted is found on its day, once."""
    rule = load_rule("OneLoginPrivilegeGranted")
    ((_, alerts),) = run_rules([rule], Week(datetime.now(UTC), 0.2))
    assert alerts
    ids = [alert["EventId"] for alert in alerts]
    assert len(set(ids)) == len(ids)


@pytest.mark.slow
def test_the_command_names_the_rules_that_it_ran(capsys: pytest.CaptureFixture[str]) -> None:
    """With its number of alerts, its severity, and the titles of the first."""
    assert main(["--size", "0.05", "--only", "jira"]) == 0
    printed = capsys.readouterr().out
    for rule in load_rules():
        assert (rule.title in printed) == rule.name.startswith("Jira")


def test_a_rule_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Before a week is made."""
    assert main(["--only", "no-such-rule"]) == 1
    assert "no-such-rule" in capsys.readouterr().err
