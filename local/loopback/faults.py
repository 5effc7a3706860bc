"""Scripted misbehaviour: what a server on the internet does on a bad day, on order.

    vendor.faults.add("/activities", answer(429, headers={"Retry-After": "1"}), reset())

The next request whose path contains `/activities` is answered 429, the one after it is reset, and
from then on the server behaves. `times` repeats a fault; `when` narrows it to some requests.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Act = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]
FOREVER = 1 << 60


@dataclass(frozen=True, slots=True)
class Fault:
    """One way of misbehaving: `act` gets the request and the handler that would have answered."""

    name: str
    act: Act
    when: Callable[[web.Request], bool] = lambda _request: True

    def only(self, when: Callable[[web.Request], bool]) -> Fault:
        """The same fault, for the requests that `when` says."""
        return replace(self, when=when)


class Faults:
    """A server's faults yet to happen; safe to add to while it serves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[tuple[str, Fault, int]] = []
        self.happened: list[tuple[str, str]] = []

    def add(self, path: str, *faults: Fault, times: int = 1) -> None:
        """Plans faults, in this order, for requests whose path contains `path`."""
        with self._lock:
            self._planned += [(path, fault, times) for fault in faults]

    def clear(self) -> None:
        """From now on the server behaves."""
        with self._lock:
            self._planned.clear()

    def pending(self) -> int:
        """How many planned faults have not happened yet."""
        with self._lock:
            return len(self._planned)

    def _take(self, request: web.Request) -> Fault | None:
        with self._lock:
            for place, (path, fault, times) in enumerate(self._planned):
                if path not in request.path or not fault.when(request):
                    continue
                if times > 1:
                    self._planned[place] = (path, fault, times - 1)
                else:
                    del self._planned[place]
                self.happened.append((request.path, fault.name))
                return fault
        return None

    async def serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answers by the next fault that fits the request, else by the handler."""
        fault = self._take(request)
        return await (fault.act(request, handler) if fault else handler(request))


def answer(status: int, body: bytes | str = b"", headers: Mapping[str, str] | None = None) -> Fault:
    """Answers this instead, without doing what was asked."""

    async def act(request: web.Request, _handler: Handler) -> web.StreamResponse:
        await request.read()
        return web.Response(status=status, body=body, headers=dict(headers or {}))

    return Fault(f"answer {status}", act)


def html(status: int = 200) -> Fault:
    """A login or maintenance page, as proxies and single sign-on answer."""
    page = "<!DOCTYPE html><html><body><h1>Sign in</h1></body></html>"
    return answer(status, page, {"Content-Type": "text/html"})


def reset() -> Fault:
    """The connection breaks before anything was done."""

    async def act(request: web.Request, _handler: Handler) -> web.StreamResponse:
        return _broken(request)

    return Fault("reset", act)


def reset_after() -> Fault:
    """What was asked is done, but the answer never arrives."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        await handler(request)
        return _broken(request)

    return Fault("reset after", act)


def answer_after(status: int, body: bytes | str = b"") -> Fault:
    """What was asked is done, and then denied."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        await handler(request)
        return web.Response(status=status, body=body)

    return Fault(f"done, then {status}", act)


def truncated(share: float = 0.5) -> Fault:
    """The body ends early: Content-Length promises all of it, and the connection closes."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        whole = await _whole(request, handler)
        answer = await _begin(request, whole)
        await answer.write(whole.body[: int(len(whole.body) * share)])
        return _broken(request, answer)

    return Fault("truncated", act)


def drip(pieces: int = 50, every: float = 0.1) -> Fault:
    """The body comes in small pieces, `every` seconds one."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        whole = await _whole(request, handler)
        answer = await _begin(request, whole)
        size = max(1, -(-len(whole.body) // pieces))
        for start in range(0, len(whole.body), size):
            await answer.write(whole.body[start : start + size])
            await asyncio.sleep(every)
        await answer.write_eof()
        return answer

    return Fault("drip", act)


def delay(seconds: float) -> Fault:
    """Answers rightly, but late."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await handler(request)

    return Fault("delay", act)


def silence() -> Fault:
    """Takes the request and never answers, until the client gives up."""

    async def act(request: web.Request, _handler: Handler) -> web.StreamResponse:
        await request.read()
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.02)
        return web.Response(status=503)

    return Fault("silence", act)


def changed(change: Callable[[bytes], bytes]) -> Fault:
    """Answers with the right body changed: `lambda body: body.replace(…)`."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        whole = await _whole(request, handler)
        return web.Response(
            status=whole.status, body=change(whole.body), content_type="application/json"
        )

    return Fault("changed", act)


def first(happening: Callable[[], Any]) -> Fault:
    """Calls `happening` (a late record appears, a process dies, a clock moves), then behaves."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        await asyncio.get_running_loop().run_in_executor(None, happening)
        return await handler(request)

    return Fault("first", act)


@dataclass(frozen=True, slots=True)
class _Whole:
    status: int
    body: bytes
    content_type: str


async def _whole(request: web.Request, handler: Handler) -> _Whole:
    response = await handler(request)
    body = response.body if isinstance(response, web.Response) else None
    return _Whole(response.status, body if isinstance(body, bytes) else b"", response.content_type)


async def _begin(request: web.Request, whole: _Whole) -> web.StreamResponse:
    answer = web.StreamResponse(status=whole.status)
    answer.content_type = whole.content_type
    answer.content_length = len(whole.body)
    await answer.prepare(request)
    return answer


def _broken(request: web.Request, begun: web.StreamResponse | None = None) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return begun or web.Response(status=500)
