"""What a person asks of a connection by the status page: reset, replay, pause and resume."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

import shared.azure.storage
from local.vendors.sentinelone_records import device_event
from shared.records.timestamps import isoformat, parse_time, utc_now
from shared.state.checkpoint import TABLE
from shared.state.lease import held_lease
from shared.telemetry.run import RunState
from tests.app import App, ask
from tests.connections import consoles as several
from tests.polling.timers import activities, arrived, poll_sentinelone, poll_without_time_left


def press(**asked: str) -> tuple[int, dict[str, Any]]:
    """POST as a program does; the status code, and the JSON."""
    answer = ask("POST", asked)
    return answer.status_code, json.loads(answer.get_body())


def reset(**more: str) -> tuple[int, dict[str, Any]]:
    return press(reset="sentinelone", **{"stream": "activities", **more})


def replay(since: str, stream: str = "activities") -> tuple[int, dict[str, Any]]:
    return press(replay="sentinelone", stream=stream, since=since)


@pytest.fixture
def polled(app: App) -> App:
    """An app of SentinelOne's activities, one an hour of the last six, all delivered."""
    app.settings.setenv("SentinelOneStreams", "activities")
    for hours in range(1, 7):
        app.sentinelone.add("activities", activities(range(hours, hours + 1), hours=hours))
    poll_sentinelone()
    poll_sentinelone()
    assert arrived(app.monitor) == once(range(1, 7))
    return app


def once(*numbers: range) -> Counter[str]:
    return Counter(str(number) for each in numbers for number in each)


def rows() -> list[dict[str, Any]]:
    return [dict(row) for row in shared.azure.storage.table(TABLE).list_entities()]


def test_a_reset_stream_begins_anew(polled: App) -> None:
    """Its rows are gone, under every spelling of its address; the lookback arrives again."""
    polled.settings.setenv(
        "SentinelOneUrl", polled.sentinelone.url.replace("127.0.0.1", "localhost")
    )
    (row,) = rows()
    here = {**row, "PartitionKey": row["PartitionKey"].replace("127.0.0.1", "localhost")}
    table = shared.azure.storage.table(TABLE)
    table.create_entity(here)
    table.create_entity({"PartitionKey": here["PartitionKey"], "RowKey": f"{row['RowKey']}~old~01"})
    spelled = here["PartitionKey"].replace("localhost", "LOCALHOST")
    table.create_entity({**row, "PartitionKey": spelled})
    status, told = reset()
    assert (status, told["changed"]) == (200, True)
    assert "24 h back" in told["message"]
    assert rows() == [row]
    poll_sentinelone()
    assert arrived(polled.monitor) == once(range(1, 7), range(1, 7))
    assert reset(stream="Custom-SentinelOneActivities")[1]["changed"] is True
    assert reset()[1]["changed"] is False


def test_a_reset_that_would_skip_events_is_refused(polled: App) -> None:
    """What is between the checkpoint and the lookback would never come: --skip says so."""
    polled.settings.setenv("InitialLookbackHours", "0.001")
    (row,) = rows()
    behind = isoformat(utc_now() - timedelta(hours=3))
    shared.azure.storage.table(TABLE).upsert_entity({**row, "watermark": behind})
    status, told = reset()
    assert status == 400
    assert behind in told["error"]
    assert len(rows()) == 1
    assert reset(skip="1")[0] == 200
    assert rows() == []


def test_a_replay_sends_each_record_since_then_once_more(polled: App) -> None:
    """Those before do not repeat, nor does anything at the next polls; new ones arrive once."""
    (before,) = rows()
    status, told = replay("210m")
    assert status == 200
    assert "arrives once more" in told["message"]
    polled.sentinelone.add("activities", activities(range(100, 101), minutes=0))
    for _ in range(3):
        poll_sentinelone()
    assert arrived(polled.monitor) == once(range(1, 7), range(1, 4), range(100, 101))
    (after,) = rows()
    assert after["watermark"] >= before["watermark"]


def test_a_replay_within_the_overlap_is_exact(app: App) -> None:
    """Fingerprints of records before that time stay, so that the overlap repeats none of them."""
    app.settings.setenv("SentinelOneStreams", "activities")
    for minutes in (8, 6, 4, 2):
        app.sentinelone.add("activities", activities(range(minutes, minutes + 1), minutes=minutes))
    poll_sentinelone()
    assert replay(isoformat(utc_now() - timedelta(minutes=5)))[0] == 200
    for _ in range(3):
        poll_sentinelone()
    assert arrived(app.monitor) == Counter({"8": 1, "6": 1, "4": 2, "2": 2})


def test_a_replay_during_a_backlog_goes_on_to_its_end(app: App) -> None:
    """The open window's end stays: nothing of the backlog is skipped."""
    app.settings.setenv("SentinelOneStreams", "activities")
    for hours in range(20, 0, -1):
        numbers = range(hours * 100, hours * 100 + 100)
        app.sentinelone.add("activities", activities(numbers, hours=hours))
    assert poll_without_time_left("a-run") == RunState.CATCHING_UP
    (row,) = rows()
    position = parse_time(row["position"])
    assert position
    status, told = replay(isoformat(position - timedelta(hours=1)))
    assert status == 200, told
    for _ in range(2):
        poll_sentinelone()
    counts = arrived(app.monitor)
    assert counts.keys() == once(range(100, 2_100)).keys()
    assert counts["2000"] <= 2
    assert set(counts.values()) <= {1, 2}
    assert replay(isoformat(utc_now() + timedelta(days=1)))[0] == 400


def test_a_replay_of_a_stream_that_is_read_by_id_is_exact(app: App) -> None:
    """Its ids are still known to grow: a replay is no sign of the contrary."""
    app.settings.setenv("SentinelOneStreams", "devicecontrol")
    stream = "Custom-SentinelOneDeviceControl"
    now = utc_now()
    for number, minutes in enumerate((300, 120, 9, 3)):
        event = device_event(number, now - timedelta(minutes=minutes))
        app.sentinelone.add("devicecontrol", [event])
    poll_sentinelone()
    poll_sentinelone()
    ids = arrived(app.monitor, stream)
    assert sorted(ids.values()) == [1, 1, 1, 1]
    assert replay("5m", "devicecontrol")[0] == 200
    for _ in range(3):
        poll_sentinelone()
    assert sorted(arrived(app.monitor, stream).values()) == [1, 1, 1, 2]
    assert replay("3h", "devicecontrol")[0] == 200
    for _ in range(3):
        poll_sentinelone()
    assert sorted(arrived(app.monitor, stream).values()) == [1, 2, 2, 3]
    assert rows()[0]["slow_since"] == ""


def test_a_stream_without_a_checkpoint_begins_where_a_replay_says(app: App) -> None:
    """Further back than the lookback; an inventory and a snapshot say why it makes no sense."""
    app.settings.setenv("SentinelOneStreams", "activities")
    app.sentinelone.add("activities", activities(range(1), hours=100))
    assert replay("5d")[0] == 200
    poll_sentinelone()
    assert arrived(app.monitor) == once(range(1))
    assert "all there is" in replay("5d", "agents")[1]["error"]
    assert "reset it" in replay("5d", "policies")[1]["error"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"reset": "sentinel"}, "Connectors that are polled: Jira, SentinelOne"),
        ({"reset": "sentinelone", "stream": "acts"}, "stream is one of alerts, unifiedalerts,"),
        ({"pause": "sentinelone", "connection": "emea"}, "connection is one of (without a name)"),
        ({"pause": "onelogin"}, "OneLogin posts its events"),
        (
            {"replay": "jira", "stream": "jiraaudit", "since": "yesterday"},
            "or how long ago: 90m, 6h",
        ),
        ({"replay": "jira", "stream": "jiraaudit", "since": "0m"}, "nothing to replay"),
        ({"dead-letters": "eat"}, "dead-letters is one of acknowledge, discard, send"),
        ({"dead-letters": "discard"}, "by its blob and line"),
        ({}, "Say one of test, redrive, dead-letters, reset, replay, pause, resume"),
    ],
)
def test_wrong_names_are_answered_with_the_right_ones(
    app: App, asked: dict[str, str], words: str
) -> None:
    """Nothing is changed, and a person reads the same on the page."""
    app.poll_jira()
    before = rows()
    status, told = press(**asked)
    assert status == 400
    assert words in told["error"]
    assert rows() == before
    shown = ask("POST", asked, accept="text/html")
    assert shown.status_code == 400


def test_while_a_poll_runs_nothing_is_moved(polled: App) -> None:
    """The lease is the poll's: 409 says to try again."""
    before = rows()
    with held_lease("SentinelOne") as lease:
        assert lease
        for status, told in (reset(), replay("3h")):
            assert status == 409
            assert "A poll of SentinelOne runs right now" in told["error"]
    assert rows() == before
    assert reset()[0] == 200


def test_a_paused_connection_is_not_polled_and_told(
    polled: App, caplog: pytest.LogCaptureFixture
) -> None:
    """Also while its poll runs; the page says so, and how to resume; then it goes on."""
    caplog.set_level("INFO")
    with held_lease("SentinelOne") as lease:
        assert lease
        assert press(pause="SentinelOne")[1]["changed"] is True
    assert press(pause="SentinelOne")[1]["changed"] is False
    polled.sentinelone.requests.clear()
    polled.sentinelone.add("activities", activities(range(50, 51), minutes=0))
    assert poll_sentinelone() == {}
    assert polled.sentinelone.requests == []
    assert "connection_paused" in caplog.text
    connector = next(c for c in polled.status()["connectors"] if c["name"] == "SentinelOne")
    assert connector["paused"]
    assert connector["assessment"]["state"] == "late"
    shown = ask("GET", accept="text/html").get_body().decode()
    assert "Paused by a person since" in shown
    assert 'name="resume" value="SentinelOne"' in shown
    assert shown.count("Resume it below") == 1
    assert press(resume="sentinelone")[1]["changed"] is True
    assert press(resume="sentinelone")[1]["changed"] is False
    poll_sentinelone()
    assert arrived(polled.monitor)["50"] == 1


def test_a_named_connection_is_paused_alone(app: App) -> None:
    """Neither its tick nor a message that waits already begins a poll of it."""
    from local.host.host import Host

    app.settings.setenv("SentinelOneStreams", "activities")
    consoles = several.Consoles(app.settings)
    try:
        consoles.add("emea", activities=range(2))
        app.sentinelone.add("activities", [several.activity(7)])
        host = Host()
        host.tick("SentinelOneTimer")
        assert press(pause="sentinelone", connection="EMEA")[0] == 200
        while host.poll("ConnectionPoll"):
            pass
        host.tick("SentinelOneTimer")
        while host.poll("ConnectionPoll"):
            pass
        assert several.arrived(app.monitor) == {("", "7"): 1}
        assert press(resume="sentinelone", connection="emea")[0] == 200
        host.tick("SentinelOneTimer")
        while host.poll("ConnectionPoll"):
            pass
        assert several.arrived(app.monitor) == {("", "7"): 1, ("emea", "0"): 1, ("emea", "1"): 1}
    finally:
        consoles.close()


def test_a_button_pauses_and_leads_back_to_the_page(polled: App) -> None:
    """POST, then a page that can be reloaded, with what was done in words."""
    pressed = ask("POST", {"code": "k"}, accept="text/html", body=b"connection=&pause=SentinelOne")
    assert pressed.status_code == 303
    assert pressed.headers["Location"].startswith("?code=k&result=")
    assert "pause" not in pressed.headers["Location"]
