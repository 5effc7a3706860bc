"""A real HTTP(S) server on loopback, in a thread with its event loop."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from ssl import SSLContext
from typing import Any, Self
from weakref import WeakSet

from aiohttp import web

from local.loopback.faults import Faults, Handler
from local.loopback.service import Service

MAX_BODY = 128 * 1024 * 1024
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was served, and its response's status (0: the connection was broken)."""

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body_bytes: int
    status: int
    started: float = field(compare=False)  # time.monotonic()
    finished: float = field(compare=False)


class LocalServer(Service):
    """Serve `routes` on a free port (or `port`) of 127.0.0.1 between start() and close().

    `latency` delays each response by that many seconds without using the processor; `now` is the
    server's clock, which its Date header shows; `faults` are the planned misbehaviours.
    """

    def __init__(
        self,
        routes: Sequence[web.RouteDef],
        *,
        tls: SSLContext | None = None,
        port: int = 0,
        now: Clock = utc_now,
    ) -> None:
        self.faults = Faults()
        self.requests: list[Request] = []
        self.latency = 0.0
        self.now = now
        self._routes = routes
        self._tls = tls
        self._port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._transports: WeakSet[asyncio.Transport] = WeakSet()
        self._runner: web.AppRunner | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The server's address without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """The port that it serves on."""
        return self._port

    def count(self, path: str = "", method: str = "") -> int:
        """Count the requests whose path contains `path`."""
        return sum(path in r.path and method in ("", r.method) for r in list(self.requests))

    def start(self) -> Self:
        """Begin to serve, after close() on the same port as before; return once that is open."""
        opened: threading.Event = threading.Event()
        failure: list[OSError] = []
        loop = self._loop = asyncio.new_event_loop()

        def serve() -> None:
            asyncio.set_event_loop(loop)
            try:
                loop.run_until_complete(self._open())
            except OSError as error:
                failure.append(error)
            opened.set()
            if not failure:
                loop.run_forever()

        self._thread = threading.Thread(target=serve, name="local server", daemon=True)
        self._thread.start()
        opened.wait()
        if failure:
            loop.close()
            self._thread = None
            raise failure[0]
        return self

    def close(self) -> None:
        """Stop serving and close every connection."""
        if self._thread is None or self._loop is None:
            return
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()
        self._thread = None

    async def _open(self) -> None:
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._middleware])
        app.add_routes(self._routes)
        app.on_response_prepare.append(self._date)
        # Keep bodies compressed: the limits are on both their compressed and their raw size.
        self._runner = web.AppRunner(
            app, access_log=None, auto_decompress=False, shutdown_timeout=0.2
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _shut(self) -> None:
        # TLS waits for the peer's close_notify; a client that keeps its connection sends none.
        for transport in list(self._transports):
            transport.abort()
        if self._runner is not None:
            await self._runner.cleanup()
        await asyncio.get_running_loop().shutdown_default_executor()
        # A transport closes in the loop's next iterations: let them happen.
        await asyncio.sleep(0.005)

    async def _date(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = format_datetime(self.now().astimezone(UTC), usegmt=True)

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.monotonic()
        status = 0
        if request.transport is not None:
            self._transports.add(request.transport)
        try:
            if self.latency:
                await asyncio.sleep(self.latency)
            response = await self.faults.serve(request, handler)
            if request.transport is not None and not request.transport.is_closing():
                status = response.status
            return response
        except web.HTTPException as refusal:
            status = refusal.status
            raise
        finally:
            self.requests.append(
                Request(
                    request.method,
                    request.path,
                    dict(request.query),
                    {k: v for k, v in request.headers.items() if k != "Authorization"},
                    request.content_length or 0,
                    status,
                    started,
                    time.monotonic(),
                )
            )


def json_answer(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Make a JSON response."""
    return web.Response(
        status=status,
        body=json.dumps(body).encode(),
        headers=dict(headers or {}),
        content_type="application/json",
    )


def serve_until_stdin_closes(addresses: Mapping[str, str]) -> None:
    """Print the addresses as one line of JSON, and wait until standard input closes.

    So a server in a child process ends with its parent, even when that is killed.
    """
    print(json.dumps(dict(addresses)), flush=True)
    sys.stdin.read()
