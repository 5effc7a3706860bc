"""The functions inside Microsoft's own worker runtime, against the local world.

azure-functions-runtime-v1 is what Azure runs folders with a function.json by, on Python 3.13 and
later; its native invocation is driven here as its host drives it.
"""

from __future__ import annotations

import asyncio
import enum
import importlib
import json
import multiprocessing
import os
import sys
import types
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.azure.logs_ingestion import AzureMonitor
from local.host.function_json import load
from local.loopback.faults import FOREVER, answer
from local.vendors.jira import Jira
from local.vendors.jira_records import jira_record
from local.vendors.onelogin_records import onelogin_event
from local.vendors.sentinelone import SentinelOne
from local.vendors.sentinelone_records import activity, threat
from tests.conftest import BEARER_TOKEN
from tests.connections.consoles import Consoles, arrived, running
from tools.project import ROOT

pytestmark = [
    pytest.mark.runtime,
    pytest.mark.skipif(
        sys.version_info < (3, 13), reason="Microsoft's worker runtime needs Python 3.13"
    ),
]


class Direction(enum.IntEnum):
    """The directions of a binding, as the host numbers them."""

    IN = 0
    OUT = 1
    INOUT = 2


class Worker:
    """The runtime with every function of the app loaded."""

    def __init__(self) -> None:
        package = "azure_functions_runtime_v1"
        self.datum: Any = importlib.import_module(f"{package}.bindings.datumdef").Datum
        self._native = importlib.import_module(f"{package}.native_invocation")
        self._threads = importlib.import_module(f"{package}.utils.threadpool")
        loader = importlib.import_module(f"{package}.loader")
        importlib.import_module(f"{package}.bindings.meta").load_binding_registry()
        loader.install()
        self._threads.start_threadpool_executor()
        self.loaded = []
        for path in sorted(ROOT.glob("*/function.json")):
            declared = json.loads(path.read_text(encoding="utf-8"))
            name, script = path.parent.name, path.parent / declared["scriptFile"]
            entry_point = declared.get("entryPoint")
            function = loader.load_function(name, str(path.parent), str(script), entry_point)
            metadata = types.SimpleNamespace(
                name=name,
                directory=str(path.parent),
                bindings={each["name"]: _binding(each) for each in declared["bindings"]},
            )
            self._native._functions.add_function(name, function, metadata, _protocol())
            self.loaded.append(name)

    async def invoke_async(
        self, function: str, binding: str, text: str, metadata: dict[str, str]
    ) -> bool:
        """One invocation of an ``async def`` function; returns whether it succeeded."""
        ok, _, _, error, trace = await self._native.invocation_request_native(
            "00000000-0000-0000-0000-000000000001",
            function,
            [(binding, self.datum(text, "string"))],
            {name: self.datum(value, "string") for name, value in metadata.items()},
        )
        if not ok:
            print(error, trace)
        return bool(ok)

    def invoke(self, function: str, binding: str, kind: str, value: Any) -> Any:
        """One invocation as the host makes it; returns what goes back to the host."""
        handled, ok, result, _, error, trace = self._native.run_invocation_sync(
            "00000000-0000-0000-0000-000000000001",
            function,
            [(binding, self.datum(value, kind))],
            {},
        )
        assert handled
        assert ok, f"{error}\n{trace}"
        return result

    def tick(self, function: str) -> None:
        """A timer's invocation."""
        status = {"IsPastDue": False, "ScheduleStatus": {}, "Schedule": {}}
        self.invoke(function, "timer", "json", json.dumps(status))

    def post(self, function: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        """An HTTP invocation; gives the answer's parts."""
        request = {
            "method": self.datum("POST", "string"),
            "url": self.datum(f"https://app.azurewebsites.net/api/{function}", "string"),
            "headers": {name: self.datum(value, "string") for name, value in headers.items()},
            "body": self.datum(body, "bytes"),
            "params": {},
            "query": {},
        }
        result = self.invoke(function, "req", "http", request)
        return {name: part.value for name, part in result.value.items() if hasattr(part, "value")}

    def close(self) -> None:
        """Ends the runtime's threads."""
        self._threads.stop_threadpool_executor()


def _binding(declared: dict[str, Any]) -> types.SimpleNamespace:
    direction = Direction[declared["direction"].upper()]
    return types.SimpleNamespace(type=declared["type"], direction=direction, data_type=None)


def _protocol() -> types.SimpleNamespace:
    directions = {direction.name.lower(): direction for direction in Direction}
    return types.SimpleNamespace(BindingInfo=types.SimpleNamespace(**directions, undefined=None))


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """The runtime, loaded once."""
    running = Worker()
    yield running
    running.close()


def test_every_function_of_the_app_loads(worker: Worker) -> None:
    """Each folder's script and entry point are found, and its bindings fit its signature."""
    assert worker.loaded == sorted(load(ROOT))
    assert {"SentinelOneTimer", "ConnectionPoll", "OneLoginWebhook", "DeliveryRetry"} <= {
        *worker.loaded
    }


def test_the_timers_deliver(
    worker: Worker,
    settings_env: dict[str, str],
    sentinelone: SentinelOne,
    jira: Jira,
    azure_monitor: AzureMonitor,
) -> None:
    """A tick of each timer brings its vendor's records to Azure Monitor, a second one nothing."""
    now = datetime.now(UTC) - timedelta(minutes=30)
    sentinelone.add("activities", (activity(n, now + timedelta(seconds=n)) for n in range(30)))
    sentinelone.add("threats", [threat(1, now)])
    jira.add(jira_record(n, now + timedelta(seconds=n)) for n in range(20))
    for _ in range(2):
        worker.tick("SentinelOneTimer")
        worker.tick("JiraAuditTimer")
    assert len(azure_monitor.records("Custom-SentinelOneActivities")) == 30
    assert len(azure_monitor.records("Custom-SentinelOneThreats")) == 1
    assert len(azure_monitor.records("Custom-JiraAudit")) == 20


def test_the_webhook_answers_and_the_queue_delivers(
    worker: Worker, settings_env: dict[str, str], storage: str, azure_monitor: AzureMonitor
) -> None:
    """A post is 200 once its events are safe: at once, or by the queue after an outage."""
    from azure.storage.queue import QueueClient

    events = [onelogin_event(n, datetime.now(UTC)) for n in range(6)]
    headers = {"authorization": f"Bearer {BEARER_TOKEN}", "content-type": "application/json"}
    body = json.dumps(events[:3]).encode()
    assert worker.post("OneLoginWebhook", body, headers)["status_code"] == "200"
    assert worker.post("OneLoginWebhook", body, {})["status_code"] == "401"
    azure_monitor.faults.add("/Custom-OneLogin", answer(503), times=FOREVER)
    body = json.dumps(events[3:]).encode()
    assert worker.post("OneLoginWebhook", body, headers)["status_code"] == "200"
    azure_monitor.faults.clear()
    with QueueClient.from_connection_string(storage, "delivery-retry") as queue:
        for message in queue.receive_messages():
            worker.invoke("DeliveryRetry", "message", "string", message.content)
    arrived = [record["uuid"] for record in azure_monitor.records("Custom-OneLogin")]
    assert arrived == [event["uuid"] for event in events]


def take_polls(worker: Worker, storage: str) -> list[bool]:
    """Take messages of connection-polls as Azure's host does, four at a time; how each ended."""
    from azure.storage.queue import QueueClient

    ended: list[bool] = []

    async def together(messages: list[Any]) -> list[bool]:
        calls = [
            worker.invoke_async(
                "ConnectionPoll",
                "message",
                message.content,
                {
                    "Id": message.id,
                    "DequeueCount": str(message.dequeue_count),
                    "InsertionTime": message.inserted_on.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
                },
            )
            for message in messages
        ]
        return list(await asyncio.gather(*calls))

    with QueueClient.from_connection_string(storage, "connection-polls") as queue:
        while found := list(queue.receive_messages(max_messages=4, visibility_timeout=600)):
            for message, ok in zip(found, asyncio.run(together(found)), strict=True):
                ended.append(ok)
                if ok:
                    queue.delete_message(message)
    return ended


def run_instance(environment: dict[str, str], storage: str, told: Any) -> None:
    """A process of the runtime that works the queue off."""
    os.environ.update(environment)
    worker = Worker()
    told.put(take_polls(worker, storage))
    worker.close()


def test_several_processes_poll_what_a_tick_hands_out(
    worker: Worker, consoles: Consoles, storage: str, azure_monitor: AzureMonitor
) -> None:
    """A timer of one process hands out, two others poll: each record arrives once."""
    names = [f"c{number}" for number in range(9)]
    for name in names:
        consoles.add(name, activities=range(20))
    worker.tick("SentinelOneTimer")
    worker.tick("SentinelOneTimer")
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    processes = [
        context.Process(target=run_instance, args=(dict(os.environ), storage, told))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    ended = [ok for _ in processes for ok in told.get(timeout=120)]
    for process in processes:
        process.join(60)
    assert ended == [True] * 20
    assert arrived(azure_monitor) == {(name, str(n)): 1 for name in names for n in range(20)}


@pytest.fixture
def consoles(settings_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Consoles]:
    monkeypatch.setenv("SentinelOneStreams", "activities")
    yield from running(monkeypatch)
