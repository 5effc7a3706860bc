"""Whole runs over bad records, and over a rule that refuses everything."""

from __future__ import annotations

from datetime import timedelta

import pytest

from local.vendors.sentinelone_records import threat
from shared.delivery.dead_letter_blobs import listed
from shared.errors import RunFailed
from shared.records.timestamps import utc_now
from tests.app import App
from tests.webhook.posts import dead_letters

STREAM = "Custom-SentinelOneThreats"


def add_threats(app: App, count: int) -> list[str]:
    """Let the tenant have ``count`` threats of the last hours; return their ids."""
    begin = utc_now() - timedelta(hours=3)
    threats = [threat(n, begin + timedelta(seconds=n)) for n in range(count)]
    app.sentinelone.add("threats", threats)
    return [str(each["id"]) for each in threats]


@pytest.fixture(autouse=True)
def threats_alone(app: App) -> None:
    """Poll no other stream."""
    app.settings.setenv("SentinelOneStreams", "threats")


def test_a_run_goes_on_past_fifty_bad_records_of_six_hundred(app: App) -> None:
    """550 arrive, 50 are dead letters, and the next run sends nothing again."""
    ids = add_threats(app, 600)
    bad = set(ids[100:150])
    app.monitor.refuse = lambda _, record: "bad" if record["id"] in bad else None
    (run,) = app.poll_sentinelone()
    assert (run.status, run.records, run.dead_lettered) == ("ok", 550, 50)
    assert {letter["record"]["id"] for letter in dead_letters()} == bad
    app.poll_sentinelone()
    arrived = [record["id"] for record in app.monitor.records(STREAM)]
    assert sorted(arrived) == sorted(set(ids) - bad)


def test_two_bad_records_alone_in_a_window_do_not_stop_the_stream(app: App) -> None:
    """They are dead letters, and what comes later arrives."""
    add_threats(app, 2)
    app.monitor.refuse = lambda _stream, record: "bad" if "agentRealtimeInfo" in record else None
    (run,) = app.poll_sentinelone()
    assert (run.status, run.dead_lettered) == ("ok", 2)
    app.monitor.refuse = None
    app.sentinelone.add("threats", [threat(99, utc_now() - timedelta(minutes=1))])
    app.poll_sentinelone()
    assert len(app.monitor.records(STREAM)) == 1


def test_a_rule_that_refuses_everything_fails_each_run_cheaply(app: App) -> None:
    """Tens of uploads a run, nothing set aside; once the rule is mended all arrive once."""
    ids = add_threats(app, 2000)
    app.monitor.refuse = lambda stream, _record: "bad" if stream == STREAM else None
    for _ in range(3):
        before = app.monitor.server.count(STREAM)
        with pytest.raises(RunFailed, match="data collection rule"):
            app.poll_sentinelone()
        assert app.monitor.server.count(STREAM) - before < 100
    assert listed() == []
    app.monitor.refuse = None
    app.poll_sentinelone()
    arrived = [record["id"] for record in app.monitor.records(STREAM)]
    assert sorted(arrived) == sorted(ids)
