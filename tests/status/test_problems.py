"""What needs a look: one cause is one problem, and is advised once."""

from __future__ import annotations

import html
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import ADVICE, RunFailed
from shared.records.timestamps import utc_now
from shared.status.model import AppStatus, Assessment, ConnectorStatus, StreamStatus
from shared.status.page import page
from shared.status.problems import problems
from shared.telemetry.run import RunState
from tests.app import App, ask
from tests.status.test_page import _status

DOWN = Assessment(RunState.FAILING, "POST /streams: HTTP 503", "Wait.")


def status_of(*connectors: ConnectorStatus) -> AppStatus:
    return replace(_status(RunState.FAILING), connectors=connectors)


def connector(name: str, *assessments: Assessment) -> ConnectorStatus:
    streams = [
        StreamStatus(f"Custom-{name}{number}", each) for number, each in enumerate(assessments)
    ]
    return ConnectorStatus(name, True, assessments[0], streams=streams)


def test_one_cause_of_several_connectors_is_one_problem() -> None:
    """All that share it are named, by their streams; beyond five, counted."""
    (problem,) = problems(status_of(connector("Acme", DOWN, DOWN), connector("Umbrella", DOWN)))
    assert problem.where == "Acme: 0, 1; Umbrella: 0"
    (problem,) = problems(status_of(*(connector(f"Acme{n}", DOWN) for n in range(8))))
    assert problem.where.endswith("; and 3 more")


def test_an_advice_stands_there_once() -> None:
    """Two causes with one advice: the second refers to the first."""
    other = Assessment(RunState.FAILING, "GET /x: timed out", "Wait.")
    status = status_of(connector("Acme", DOWN, other))
    assert [p.assessment.advice for p in problems(status)] == ["Wait.", "As for Acme: 0, above."]
    assert page(status).count("Wait.") == 1


def test_a_connection_that_is_put_off_is_told_once() -> None:
    """Its streams fail for the same reason: the connection's own words say it."""
    silent = replace(
        connector("Acme", DOWN, DOWN),
        assessment=Assessment(RunState.FAILING, "It did not answer at all.", "Wait."),
        due=utc_now() + timedelta(minutes=10),
    )
    (problem,) = problems(status_of(silent))
    assert (problem.where, problem.assessment.reason) == ("Acme", "It did not answer at all.")


def test_streams_of_one_backlog_are_advised_once() -> None:
    """In the table, too: what is not trouble has its advice with its first stream."""
    behind = Assessment(RunState.CATCHING_UP, "A backlog is being read.", "Nothing to do.")
    assert page(status_of(connector("Acme", behind, behind))).count("Nothing to do.") == 1


def test_a_wrong_setting_is_advised_once(app: App) -> None:
    """A connection that cannot be opened has no stream: its reason is told, its advice once."""
    app.settings.setenv("JiraUsername", "no:user")
    shown = ask("GET", accept="text/html").get_body().decode()
    assert html.unescape(shown).count(ADVICE["SettingsError"]) == 1


def test_a_role_that_is_missing_is_advised_once(app: App) -> None:
    """Whichever connectors it stops."""
    app.settings.setenv("SentinelOneStreams", "threats,activities")
    app.fill(20)
    app.monitor.revoke_role()
    for poll in (app.poll_sentinelone, app.poll_jira):
        with pytest.raises(RunFailed):
            poll()
    shown = html.unescape(ask("GET", accept="text/html").get_body().decode())
    assert shown.count(ADVICE["DestinationRefused"]) == 1
