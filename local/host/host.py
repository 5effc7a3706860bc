"""A small Functions host: timers on their schedule, HTTP on loopback, queues polled.

It reads the same folders as Azure's host and Core Tools' `func start`. Functions run on threads
of this process.
"""

from __future__ import annotations

import asyncio
import functools
import hmac
import json
import logging
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import azure.functions as func
from aiohttp import web
from azure.core.exceptions import AzureError
from azure.functions.timer import TimerRequest

from local.host.function_json import Function, Invocation, load
from local.host.queue_trigger import QueueOptions, QueueTrigger
from local.loopback.server import LocalServer
from local.loopback.service import Service
from tools.project import ROOT

logger = logging.getLogger("host")
MAX_REQUEST_BYTES = 100 * 1024 * 1024
SHORTEST_POLL = 0.1


class Host(Service):
    """The app in `root`. HTTP functions refuse requests without `key`, by default a new one.

    start() serves HTTP; run() also ticks timers and polls queues, until close().
    """

    def __init__(self, root: Path = ROOT, *, port: int = 0, key: str = "") -> None:
        self.functions = load(root)
        self.key = key or secrets.token_urlsafe(24)
        options = json.loads((root / "host.json").read_text(encoding="utf-8"))
        self._prefix = options.get("extensions", {}).get("http", {}).get("routePrefix", "api")
        queue_options = QueueOptions.read(options)
        self.queues = {
            name: QueueTrigger(function, queue_options)
            for name, function in self.functions.items()
            if function.kind == "queueTrigger"
        }
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.failed: list[tuple[str, Exception]] = []
        routes = [
            web.route("*", self._path(function), functools.partial(self._http, function))
            for function in self.functions.values()
            if function.kind == "httpTrigger"
        ]
        self.server = LocalServer(routes, port=port)

    def url(self, name: str) -> str:
        """An HTTP function's address, with its key."""
        return f"{self.server.url}{self._path(self.functions[name])}?code={self.key}"

    def tick(self, name: str, *, past_due: bool = False) -> Invocation:
        """Call a timer function now."""
        return self.functions[name].invoke(TimerRequest(past_due=past_due))

    def poll(self, name: str) -> int:
        """Process a batch of a queue function's messages; return how many there were."""
        return self.queues[name].poll()

    def start(self) -> Self:
        """Serve the HTTP functions."""
        self.server.start()
        return self

    def run(self, *, now: bool = False) -> None:
        """Tick every timer on its schedule and poll every queue, each in a thread.

        With ``now`` every timer ticks at once, too. A trigger that ends with an error, as where its
        storage refuses the sign-in, is in `failed`. Raises FunctionInvalid, or ValueError for a
        schedule, before any runs.
        """
        for function in self.functions.values():
            if function.kind == "timerTrigger":
                function.schedule.next(datetime.now(UTC))
        for function in self.functions.values():
            if function.kind == "timerTrigger":
                self._thread(function.name, functools.partial(self._run_timer, function, now))
        for name, trigger in self.queues.items():
            self._thread(name, functools.partial(self._run_queue, trigger))

    def stop(self) -> None:
        """Trigger no function any more."""
        self._stopping.set()

    def running(self) -> dict[str, float]:
        """The functions that run now, and for how many seconds."""
        return {
            name: seconds
            for name, function in self.functions.items()
            if (seconds := function.running_seconds()) is not None
        }

    def close(self) -> None:
        """Stop triggers, and wait for running functions."""
        self.stop()
        self.server.close()
        for thread in self._threads:
            thread.join()

    def _path(self, function: Function) -> str:
        route = function.trigger.get("route") or function.name
        return f"/{self._prefix}/{route}" if self._prefix else f"/{route}"

    def _thread(self, name: str, work: Callable[[], None]) -> None:
        """Run a trigger in a thread; `failed` gets the error that ends it."""

        def guarded() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the host's owner ends with it
                logger.error("The trigger of %s failed: %s", name, error)
                self.failed.append((name, error))

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run_timer(self, function: Function, now_too: bool) -> None:
        """Run one tick at a time; make up once for ticks missed meanwhile, right after it."""
        due, missed = function.schedule.next(datetime.now(UTC)), False
        if now_too:
            due = datetime.now(UTC)
        while not self._stopping.wait(max(0.0, (due - datetime.now(UTC)).total_seconds())):
            function.invoke(TimerRequest(past_due=missed))
            now, following = datetime.now(UTC), function.schedule.next(due)
            due, missed = max(now, following), following <= now

    def _run_queue(self, trigger: QueueTrigger) -> None:
        pause = SHORTEST_POLL
        while not self._stopping.wait(pause):
            try:
                found = trigger.poll()
            except AzureError as error:
                if getattr(error, "status_code", None) in (401, 403):
                    raise  # no further try would be let in
                logger.warning("The queue of %s cannot be read: %s", trigger.function.name, error)
                found = 0
            longest = trigger.options.max_polling_seconds
            pause = SHORTEST_POLL if found else min(longest, pause * 2)

    async def _http(self, function: Function, request: web.Request) -> web.Response:
        methods = [method.upper() for method in function.trigger.get("methods", [])]
        if methods and request.method not in methods:
            return web.Response(status=404)
        if not self._key_fits(function, request):
            return web.Response(status=401)
        if self._stopping.is_set():
            return web.Response(status=503, headers={"Retry-After": "60"})
        body = await request.read()
        if len(body) > MAX_REQUEST_BYTES:
            return web.Response(status=413)
        asked = func.HttpRequest(
            method=request.method,
            url=str(request.url),
            headers=dict(request.headers),
            params=dict(request.query),
            route_params=dict(request.match_info),
            body=body,
        )
        loop = asyncio.get_running_loop()
        done = await loop.run_in_executor(None, function.invoke, asked)
        if not done.ok:
            return web.Response(status=500)
        return _answer(done.result)

    def _key_fits(self, function: Function, request: web.Request) -> bool:
        if function.trigger.get("authLevel", "function") == "anonymous":
            return True
        given = request.query.get("code") or request.headers.get("x-functions-key") or ""
        return hmac.compare_digest(given.encode(), self.key.encode())


def _answer(result: Any) -> web.Response:
    if isinstance(result, str):
        return web.Response(text=result)
    answer = web.Response(status=result.status_code, body=result.get_body())
    answer.headers["Content-Type"] = f"{result.mimetype}; charset={result.charset}"
    for name, value in result.headers.items():
        answer.headers[name] = value
    return answer
