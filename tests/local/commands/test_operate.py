"""Day-two commands over real HTTP: what they ask, what they print, how they end."""

from __future__ import annotations

import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from local.commands import operate
from local.commands.host_key import host_key, read_key
from local.host.host import Host
from local.loopback.server import LocalServer
from shared.azure import storage
from shared.delivery.dead_letters import DeadLetters, Refused
from tests.app import App
from tests.polling.timers import activities, arrived, poll_sentinelone

STREAM = "Custom-OneLogin"


@pytest.fixture
def running(app: App, tmp_path: Path) -> Iterator[list[str]]:
    """The app's page behind the local host; gives the options that lead there."""
    app.settings.setenv("SentinelOneStreams", "activities")
    with Host(key=host_key(tmp_path)) as host:
        yield ["--url", host.url("Status").partition("?")[0], "--folder", str(tmp_path)]


def test_a_stream_is_replayed_and_reset(
    app: App, running: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The app's own words are printed; an error of the app is one line, and status 1."""
    app.sentinelone.add("activities", activities(range(1), hours=2))
    poll_sentinelone()
    assert operate.replay(["sentinelone", "activities", "--since", "3h", *running]) == 0
    assert "arrives once more" in capsys.readouterr().out
    poll_sentinelone()
    assert arrived(app.monitor) == {"0": 2}
    assert operate.reset_stream(["sentinelone", "activities", *running]) == 0
    poll_sentinelone()
    assert arrived(app.monitor) == {"0": 3}
    assert operate.reset_stream(["sentinelone", "activity", *running]) == 1
    assert "stream is one of alerts" in capsys.readouterr().err


def test_a_connection_is_paused_and_resumed(
    app: App, running: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice says that it is so already."""
    for command, words in (
        (operate.pause, "SentinelOne is paused: no poll begins"),
        (operate.pause, "SentinelOne is paused already."),
        (operate.resume, "SentinelOne goes on from its checkpoints"),
        (operate.resume, "SentinelOne is not paused."),
    ):
        assert command(["SentinelOne", *running]) == 0
        assert words in capsys.readouterr().out
    assert operate.pause(["SentinelOne", "--connection", "emea", *running]) == 1
    assert "connection is one of (without a name)" in capsys.readouterr().err


def test_an_hour_is_fetched_by_its_beginning(
    app: App, running: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The app's own words say why it may not be: here the API has no settings."""
    assert operate.fetch(["OneLogin", "--hour", "2026-01-31T08:00Z", *running]) == 1
    assert "OneLogin posts its events" in capsys.readouterr().err
    assert operate.fetch(["SentinelOne", "--hour", "half past", *running]) == 1
    assert "hour is the beginning of a whole hour" in capsys.readouterr().err
    assert operate.fetch(["SentinelOne", "--hour", "2026-01-31T08:00Z", *running]) == 1
    assert "SentinelOne is polled: replay its stream" in capsys.readouterr().err


def test_dead_letters_are_listed_shown_and_discarded(
    app: App, running: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """By cause, then one by one as show names them; no value of a record is printed."""
    person = b'{"user_name":"Ada Lovelace"}'
    DeadLetters().put(STREAM, [Refused(person, 400, "InvalidRecord: Ada Lovelace")] * 2)
    assert operate.dead_letters(running) == 0
    assert f"2  {STREAM}: HTTP 400 InvalidRecord (new; " in capsys.readouterr().out
    assert operate.dead_letters(["acknowledge", *running]) == 0
    assert operate.dead_letters(["show", *running]) == 0
    shown = capsys.readouterr().out
    assert "looked at" in shown
    assert '"user_name": "<text of 12 characters>"' in shown
    assert "Lovelace" not in shown
    place = re.search(r"(--blob) (\S+) (--line) (\S+)", shown)
    assert place
    assert operate.dead_letters(["discard", *place.groups(), *running]) == 0
    assert operate.dead_letters(["send", *running]) == 0
    assert "1 sent, 0 left." in capsys.readouterr().out
    assert operate.dead_letters(running) == 0
    assert "There are no dead letters." in capsys.readouterr().out


def test_sending_again_while_storage_is_down_is_no_success(
    app: App, running: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A script can tell it from "nothing is left": status 503, and 1 of the command."""
    DeadLetters().put(STREAM, [Refused(b"{}", 400, "InvalidRecord")])
    down = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YWJj;"
    ends = (f"{each}Endpoint=http://127.0.0.1:1/a" for each in ("Blob", "Queue", "Table"))
    app.settings.setenv("AzureWebJobsStorage", down + ";".join(ends))
    app.settings.setattr(storage, "_SHORT_RETRIES", {"retry_total": 0})
    storage.forget_clients()
    assert operate.dead_letters(["send", *running]) == 1
    told = capsys.readouterr().err
    assert "0 sent, 0 left." in told
    assert "AzureWebJobsStorage" in told


def test_the_key_is_asked_for_as_in_azure(
    app: App, running: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file of the start has it; the page's address with its code will do, too."""
    assert operate.resume(["SentinelOne", *running, "--key", "another"]) == 1
    assert "--key" in capsys.readouterr().err
    page = f"{running[1]}?code={read_key(tmp_path)}"
    assert operate.resume(["SentinelOne", "--url", page]) == 0
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "function-key").stat().st_mode) == 0o600
    assert host_key(tmp_path) == read_key(tmp_path)


def test_an_app_that_does_not_answer_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """And no key goes out in clear."""
    assert operate.resume(["Jira", "--url", "http://127.0.0.1:9/api/Status", "--key", "k"]) == 1
    assert "tools start" in capsys.readouterr().err
    assert operate.resume(["Jira", "--url", "http://app.example/api/Status", "--key", "k"]) == 1
    assert "--url is https" in capsys.readouterr().err


def test_the_key_follows_no_redirect(capsys: pytest.CaptureFixture[str]) -> None:
    """A sign-in page before the app, or another host, is not for it."""
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.headers.get("x-functions-key", ""))
        return web.json_response({"message": "done"})

    async def redirect(_: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(f"{other.url}/api/Status")

    with (
        LocalServer([web.post("/api/Status", elsewhere)]) as other,
        LocalServer([web.post("/api/Status", redirect)]) as moved,
    ):
        page = f"{moved.url}/api/Status"
        assert operate.pause(["SentinelOne", "--url", page, "--key", "k3y"]) == 1
    assert "HTTP 307" in capsys.readouterr().err
    assert asked == []
