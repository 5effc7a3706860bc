"""The local host calls functions as Azure's does: by their function.json, with its rules."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.storage.queue import QueueClient

from local.host.function_json import FunctionInvalid, load
from local.host.host import Host
from tools.project import ROOT

TIMER = {"name": "tick", "type": "timerTrigger", "schedule": "0 */5 * * * *"}
HTTP = {"name": "req", "type": "httpTrigger", "authLevel": "function", "methods": ["post"]}
QUEUE = {
    "name": "message",
    "type": "queueTrigger",
    "queueName": "work",
    "connection": "AzureWebJobsStorage",
}
ECHO = """
import azure.functions as func

def main(req):
    if req.params.get("fail"):
        raise RuntimeError("as asked")
    text = f"{req.method} {req.get_body().decode()} {req.headers.get('x-custom')}"
    return func.HttpResponse(text, status_code=202, headers={"Retry-After": "3"})
"""
TICK = "def main(tick):\n    return tick.past_due\n"
WORK = """
seen = []

def main(message):
    seen.append((message.get_body().decode(), message.dequeue_count))
    if message.get_body() == b"bad":
        raise RuntimeError("as asked")
"""


class App:
    """A function app in a temporary folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names: list[str] = []
        self.options: dict[str, Any] = {"version": "2.0"}

    def add(self, name: str, binding: dict[str, Any], code: str, **more: Any) -> None:
        """A folder with a function.json and a script."""
        folder = self.root / name
        folder.mkdir()
        declared = {"scriptFile": "__init__.py", "bindings": [binding], **more}
        (folder / "function.json").write_text(json.dumps(declared), encoding="utf-8")
        (folder / "__init__.py").write_text(code, encoding="utf-8")
        self.names.append(name)

    def host(self, **options: Any) -> Host:
        """A host of it."""
        (self.root / "host.json").write_text(json.dumps(self.options), encoding="utf-8")
        return Host(self.root, **options)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An empty app; its modules are forgotten afterwards."""
    made = App(tmp_path)
    yield made
    for name in made.names:
        sys.modules.pop(name, None)
    sys.path[:] = [path for path in sys.path if path != str(tmp_path)]


def test_every_folder_of_the_app_loads() -> None:
    """The product's own functions, with the triggers that the design names."""
    found = {name: function.kind for name, function in load(ROOT).items()}
    assert found.items() >= {
        ("SentinelOneTimer", "timerTrigger"),
        ("JiraAuditTimer", "timerTrigger"),
        ("OneLoginWebhook", "httpTrigger"),
        ("DeliveryRetry", "queueTrigger"),
    }


def test_a_timer_is_called_with_its_binding(app: App) -> None:
    """The argument's name is the binding's; past_due is passed on; a failure is told."""
    app.add("Tick", TIMER, TICK)
    app.add("Fails", TIMER, "def main(tick):\n    raise RuntimeError('as asked')\n")
    host = app.host()
    assert host.tick("Tick", past_due=True).result is True
    failed = host.tick("Fails")
    assert (failed.ok, str(failed.error)) == (False, "as asked")


def test_an_entry_point_of_another_name_is_called(app: App) -> None:
    """entryPoint names the function."""
    app.add("Tick", TIMER, "def other(tick):\n    return 7\n", entryPoint="other")
    assert app.host().tick("Tick").result == 7


@pytest.mark.parametrize(
    ("binding", "code", "complaint"),
    [
        (TIMER, "x = 1\n", "has no function main"),
        ({"name": "x", "type": "http"}, TICK, "0 triggers"),
    ],
)
def test_what_azure_would_not_load_does_not_load(
    app: App, binding: dict[str, Any], code: str, complaint: str
) -> None:
    """A missing entry point or trigger is an error that names the folder."""
    app.add("Broken", binding, code)
    with pytest.raises(FunctionInvalid, match=complaint):
        app.host()


def test_a_setting_that_does_not_resolve_stops_a_function(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """%Setting% in a schedule is replaced by the app setting, or is an error."""
    app.add("Tick", {**TIMER, "schedule": "%TickSchedule%"}, TICK)
    function = app.host().functions["Tick"]
    with pytest.raises(FunctionInvalid, match="TickSchedule"):
        _ = function.schedule
    monkeypatch.setenv("TickSchedule", "0 0 * * * *")
    assert function.schedule.fields[1] == {0}


def test_http_goes_through_whole(app: App) -> None:
    """Method, body and headers in; status, body and headers out."""
    app.add("Echo", HTTP, ECHO)
    with app.host() as host:
        url = host.url("Echo")
        answer = requests.post(url, data=b"hello", headers={"x-custom": "yes"}, timeout=10)
        assert (answer.status_code, answer.text) == (202, "POST hello yes")
        assert answer.headers["Retry-After"] == "3"
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert requests.get(url, timeout=10).status_code == 404
        assert requests.post(url, params={"fail": "1"}, timeout=10).status_code == 500


def test_a_function_key_is_asked_for(app: App) -> None:
    """As ?code= or x-functions-key, on loopback too: as Azure asks for it."""
    app.add("Echo", HTTP, ECHO)
    with app.host() as host:
        url = host.url("Echo").partition("?")[0]
        header = {"x-functions-key": host.key}
        assert requests.post(url, timeout=10).status_code == 401
        assert requests.post(url, params={"code": "guess"}, timeout=10).status_code == 401
        assert requests.post(url, params={"code": host.key}, timeout=10).status_code == 202
        assert requests.post(url, headers=header, timeout=10).status_code == 202


def test_a_queues_messages_are_worked_off(app: App, storage: str) -> None:
    """Each is passed on and deleted; one that keeps failing ends in the poison queue."""
    app.options["extensions"] = {"queues": {"messageEncoding": "none", "maxDequeueCount": 2}}
    app.add("Work", QUEUE, WORK)
    host = app.host()
    assert host.poll("Work") == 0  # the queue does not exist yet
    with QueueClient.from_connection_string(storage, "work") as queue:
        queue.create_queue()
        queue.send_message("good")
        queue.send_message("bad")
        counts = [host.poll("Work") for _ in range(3)]
        assert counts == [2, 1, 0]
        assert not list(queue.peek_messages())
    assert sorted(sys.modules["Work"].seen) == [("bad", 1), ("bad", 2), ("good", 1)]
    assert len(host.queues["Work"].failures) == 2
    with QueueClient.from_connection_string(storage, "work-poison") as poison:
        assert [message.content for message in poison.peek_messages()] == ["bad"]


def test_base64_is_the_hosts_default(app: App, storage: str) -> None:
    """Without messageEncoding a message is base64; one that is not is poison at once."""
    app.add("Work", QUEUE, WORK)
    host = app.host()
    with QueueClient.from_connection_string(storage, "work") as queue:
        queue.create_queue()
        queue.send_message("Z29vZA==")
        queue.send_message("{}")
        assert host.poll("Work") == 2
    assert sys.modules["Work"].seen == [("good", 1)]
    with QueueClient.from_connection_string(storage, "work-poison") as poison:
        assert [message.content for message in poison.peek_messages()] == ["{}"]
