"""The app on a person's machine: started with a settings file, fed with a file, and asked."""

from __future__ import annotations

import io
import json
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.commands import check, send, start
from local.commands.log_lines import Readable
from local.commands.settings_file import SettingsFileInvalid, read_settings
from local.commands.start import problems
from local.workspace.workspace import Workspace
from tests.local.project_copy import copy_project
from tools.project import ROOT

# A shell that begins something in the background has it ignore Ctrl+C, and its children with it.
RUN = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from local.commands.start import main; sys.exit(main(sys.argv[1:]))"
)
EVENT = {"uuid": "e-1", "event_type_id": 5, "event_timestamp": "2026-03-01 12:00:00 UTC"}


def settings_file(folder: Path, **values: str) -> Path:
    """A local.settings.json."""
    path = folder / "local.settings.json"
    path.write_text(json.dumps({"IsEncrypted": False, "Values": values}), encoding="utf-8")
    return path


@contextmanager
def started(folder: Path, settings: Path) -> Iterator[str]:
    """Run the app in a child process; yield the webhook's address; end it by Ctrl+C."""
    options = ["--port", "0", "--settings", str(settings), "--folder", str(folder), "--now"]
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    watch = threading.Timer(120, process.kill)
    watch.start()
    output = ""
    try:
        for line in process.stdout:
            output += line
            if "Ctrl+C stops." in line:
                break
        address = re.search(r"OneLoginWebhook: (\S+)", output)
        assert address, output
        yield address[1]
    finally:
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=120)[0]
        watch.cancel()
    assert process.returncode == 0, output + rest


def test_a_setting_written_nearly_right_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typo would be ignored silently; settings of the host and of Azure are none."""
    host = {"FUNCTIONS_WORKER_RUNTIME": "python", "AzureWebJobsStorage__accountName": "x"}
    named = {"SentinelOneUrl__emea": "x", "SentinelOneAPIToken__emea": "x", "JiraUsrname__b": "x"}
    file = settings_file(tmp_path, OverlapMinutez="5", SentinelOneURL="x", **host, **named)
    # As editors of Windows write it.
    file.write_text(file.read_text(encoding="utf-8"), encoding="utf-8-sig")
    read_settings(file)
    output = sorted(capsys.readouterr().out.splitlines())
    assert output == [
        "local.settings.json: there is no setting JiraUsrname__b; JiraUsername__b may be meant.",
        "local.settings.json: there is no setting OverlapMinutez; OverlapMinutes may be meant.",
        "local.settings.json: there is no setting SentinelOneURL; SentinelOneUrl may be meant.",
    ]


def test_what_is_wrong_with_the_settings_is_printed_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not at the first tick, five minutes later; each problem is named once."""
    monkeypatch.setenv("SentinelOneUrl", "console.example")
    monkeypatch.setenv("JiraHomeSiteName", "acme")
    monkeypatch.setenv("OverlapMinutes", "abc")
    output = "\n".join(problems())
    assert "SentinelOneAPIToken" in output
    assert "JiraAccessToken" in output
    assert output.count("OverlapMinutes") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C cannot be sent to one process there")
def test_a_posted_file_ends_in_the_local_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a destination in the settings, posted events are in the local workspace."""
    settings = settings_file(
        tmp_path,
        AzureWebJobsStorage="UseDevelopmentStorage=true",
        OneLoginBearerToken="the-right-bearer-token",
    )
    events = tmp_path / "events.json"
    events.write_text(json.dumps([EVENT]), encoding="utf-8")
    with started(tmp_path, settings) as url:
        assert send.main([str(events), "--url", url, "--token", "wrong"]) == 1
        right = ["--url", url, "--token", "the-right-bearer-token"]
        assert send.main([str(events), *right]) == 0
        body = io.BytesIO(json.dumps([EVENT, 7]).encode())
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(body))
        assert send.main(["-", *right]) == 0
        assert send.main(right) == 0
    answers = [line for line in capsys.readouterr().out.splitlines() if line[:1].isdigit()]
    assert answers[0].startswith("401")
    assert answers[1] == "200 1 delivered, 0 repeats, 0 set aside"
    assert answers[2].startswith("200 0 delivered, 1 repeats, 1 set aside: ")
    assert answers[3] == "200 5 delivered, 0 repeats, 0 set aside"
    workspace = Workspace(tmp_path / "workspace.duckdb")
    rows = workspace.query("OneLogin_CL | where uuid_g == 'e-1' | project event_type_id_d").rows
    assert workspace.query("OneLogin_CL | count").rows == [(6,)]
    workspace.close()
    assert rows == [(5.0,)]


@contextmanager
def silent_server() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def start_process(
    folder: Path, settings: Path, *more: str, project: Path = ROOT
) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    options = ["--port", "0", "--settings", str(settings), "--folder", str(folder), *more]
    return subprocess.Popen(
        [sys.executable, "-u", "-c", RUN, *options],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """The output up to a line with the words."""
    assert process.stdout is not None
    output = ""
    for line in process.stdout:
        output += line
        if words in line:
            return output
    raise AssertionError(output)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C cannot be sent to one process there")
def test_start_says_what_it_waits_for_and_a_second_interrupt_ends_it(tmp_path: Path) -> None:
    """Meanwhile another start on the folder is refused, by its owner's name."""
    with silent_server() as url:
        settings = settings_file(tmp_path, SentinelOneUrl=url, SentinelOneAPIToken="x" * 40)
        process = start_process(tmp_path, settings, "--now", "--json")
        read_until(process, "Executing SentinelOneTimer")
        second = start_process(tmp_path, settings)
        told = second.communicate(timeout=60)[0]
        assert second.returncode == 1
        assert f"in use by python3 -m tools start (process {process.pid}" in told
        process.send_signal(signal.SIGINT)
        assert "SentinelOneTimer, which has run for" in read_until(process, "Waiting for")
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=5)[0]
    assert process.returncode == 130
    assert "Traceback" not in rest


@pytest.mark.parametrize(
    "value",
    ["not a connection string", "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;"
     "QueueEndpoint=http://127.0.0.1:9/a;TableEndpoint=http://127.0.0.1:9/a;"
     "BlobEndpoint=http://127.0.0.1:9/a"],
)  # fmt: skip
def test_wrong_storage_is_one_sentence_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    """Nothing starts behind a webhook that would answer 200."""
    settings = settings_file(tmp_path, AzureWebJobsStorage=value, OneLoginBearerToken="right")
    options = ["--port", "0", "--settings", str(settings), "--folder", str(tmp_path)]
    assert start.main(options) == 1
    error = capsys.readouterr().err.strip()
    assert "AzureWebJobsStorage" in error
    assert len(error.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
@pytest.mark.parametrize(
    ("key", "words"),
    [("d3Jvbmc=", "HTTP 403: Server failed to authenticate"), ("", "SpoolStorage")],
    ids=["refused", "missing"],
)
def test_a_function_that_cannot_be_triggered_ends_the_start(
    tmp_path: Path, storage: str, key: str, words: str
) -> None:
    """Its queue's storage refuses the sign-in, or is not named: the webhook goes down with it."""
    project = copy_project(tmp_path / "project", "DeliveryRetry")
    declared = project / "DeliveryRetry" / "function.json"
    text = declared.read_text(encoding="utf-8")
    declared.write_text(text.replace('"AzureWebJobsStorage"', '"SpoolStorage"'), encoding="utf-8")
    values = {"OneLoginBearerToken": "x" * 20, "AzureWebJobsStorage": storage}
    if key:
        values["SpoolStorage"] = re.sub("AccountKey=[^;]+", f"AccountKey={key}", storage)
    process = start_process(tmp_path, settings_file(tmp_path, **values), project=project)
    told = process.communicate(timeout=60)[0]
    assert process.returncode == 1, told
    last = told.splitlines()[-1]
    assert last.startswith("DeliveryRetry cannot be triggered any more: ")
    assert words in last
    assert "Traceback" not in told


def test_numbers_and_booleans_are_taken_as_they_stand(tmp_path: Path) -> None:
    """As Azure's host takes them; a list or an object is refused by its name."""
    path = tmp_path / "local.settings.json"
    values: dict[str, object] = {"OverlapMinutes": 5, "Some": True, "JiraUsername": None}
    path.write_text(json.dumps({"Values": values}), encoding="utf-8")
    assert read_settings(path) == {"OverlapMinutes": "5", "Some": "true"}
    path.write_text(json.dumps({"Values": {"SentinelOneStreams": ["a"]}}), encoding="utf-8")
    with pytest.raises(SettingsFileInvalid, match="SentinelOneStreams is a list"):
        read_settings(path)


def test_a_check_of_nothing_does_not_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without any vendor set up, no word says that all is well."""
    settings = settings_file(tmp_path, FUNCTIONS_WORKER_RUNTIME="python")
    assert check.main(["--settings", str(settings)]) == 1
    storage, *_, said, judged = capsys.readouterr().out.splitlines()
    assert storage.startswith("Storage: the emulator, empty and in memory")
    assert "No vendor is set up" in said
    assert "passed" not in judged


def test_where_nothing_listens_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the command that starts the webhook."""
    events = tmp_path / "events.json"
    events.write_text("[]", encoding="utf-8")
    url = "http://127.0.0.1:9/api/OneLoginWebhook"
    assert send.main([str(events), "--url", url, "--token", "x"]) == 1
    assert "tools start" in capsys.readouterr().err
    assert send.main([str(tmp_path / "missing.json"), "--token", "x"]) == 1
    assert "missing.json" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", "{", '{"Values": 7}', '{"Values": null}', "{}"])
def test_a_broken_settings_file_is_named(tmp_path: Path, text: str) -> None:
    """The error names the file and its required contents."""
    path = tmp_path / "local.settings.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsFileInvalid, match=r"local\.settings\.json.*Values"):
        read_settings(path)


def test_a_missing_settings_file_leads_to_the_example(tmp_path: Path) -> None:
    """The error says which file to copy, and how to see the app without any."""
    with pytest.raises(SettingsFileInvalid, match="example"):
        read_settings(tmp_path / "local.settings.json")


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting in the environment is used instead of the file's; an empty one counts as absent."""
    path = settings_file(tmp_path, JiraUsername="file", JiraHomeSiteName="acme", SentinelOneUrl=" ")
    monkeypatch.setenv("JiraUsername", "environment")
    settings = read_settings(path)
    assert settings["JiraUsername"] == "environment"
    assert settings["JiraHomeSiteName"] == "acme"
    assert "SentinelOneUrl" not in settings


def test_the_log_has_a_line_a_run_for_people() -> None:
    """Counts and times in words; other events by their name; other lines as they are."""
    run = {
        "Connector": "SentinelOne", "Stream": "Custom-SentinelOneThreats", "Status": "ok",
        "Records": 1, "Requests": 2, "DurationSeconds": 0.41, "SecondsBehind": 7300,
        "RepeatsSuppressed": 3, "DeadLettered": 0, "Retries": 0, "Message": "",
    }  # fmt: skip
    lines = [
        f"stream_run {json.dumps(run)}",
        'connector_off {"Connector": "Jira", "Message": "no setting is set"}',
        "Executed Jira (Failed, 1 s): why",
    ]
    shown = [
        Readable().format(logging.LogRecord("x", logging.INFO, "", 0, line, None, None))[9:]
        for line in lines
    ]
    assert shown[0].split(None, 1) == [
        "SentinelOneThreats", "ok: 1 record, 3 repeats, 2 requests, 0.4 s, 2 h behind",
    ]  # fmt: skip
    assert shown[1].split(None, 1) == ["Jira", "connector off: no setting is set"]
    assert shown[2] == lines[2]
