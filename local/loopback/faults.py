"""Faults on order: the ways in which a server on the internet misbehaves.

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
    """A misbehaviour: `act` gets the request and the handler that would have answered it."""

    name: str
    act: Act
    when: Callable[[web.Request], bool] = lambda _request: True

    def only(self, when: Callable[[web.Request], bool]) -> Fault:
        """Return the same fault, narrowed to the requests for which `when` is true."""
        return replace(self, when=when)


class Faults:
    """A server's planned faults; thread-safe, so that a test adds to them while it serves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[tuple[str, Fault, int]] = []
        self.happened: list[tuple[str, str]] = []

    def add(self, path: str, *faults: Fault, times: int = 1) -> None:
        """Plan faults, in this order, for requests whose path contains `path`."""
        with self._lock:
            self._planned += [(path, fault, times) for fault in faults]

    def clear(self) -> None:
        """Drop every planned fault."""
        with self._lock:
            self._planned.clear()

    def pending(self) -> int:
        """Count the planned faults that have not happened yet."""
        with self._lock:
            return len(self._planned)

    def _next_fault(self, request: web.Request) -> Fault | None:
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
        """Answer by the next fault that fits the request, else by the handler."""
        fault = self._next_fault(request)
        return await (fault.act(request, handler) if fault else handler(request))


def answer(status: int, body: bytes | str = b"", headers: Mapping[str, str] | None = None) -> Fault:
    """Answer this instead of handling the request."""

    async def act(request: web.Request, _handler: Handler) -> web.StreamResponse:
        await request.read()
        return web.Response(status=status, body=body, headers=dict(headers or {}))

    return Fault(f"answer {status}", act)


def html(status: int = 200) -> Fault:
    """Answer with a login or maintenance page, as proxies and single sign-on do."""
    page = "<!DOCTYPE html><html><body><h1>Sign in</h1></body></html>"
    return answer(status, page, {"Content-Type": "text/html"})


def reset() -> Fault:
    """Break the connection before the request is handled."""

    async def act(request: web.Request, _handler: Handler) -> web.StreamResponse:
        return _abort(request)

    return Fault("reset", act)


def reset_after() -> Fault:
    """Handle the request, then break the connection: the answer is lost."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        await handler(request)
        return _abort(request)

    return Fault("reset after", act)


def answer_after(status: int, body: bytes | str = b"") -> Fault:
    """Handle the request, then answer with an error."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        await handler(request)
        return web.Response(status=status, body=body)

    return Fault(f"done, then {status}", act)


def truncated(share: float = 0.5) -> Fault:
    """End the body early: Content-Length promises all of it, and the connection closes."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        whole = await _read_whole(request, handler)
        answer = await _begin_response(request, whole)
        await answer.write(whole.body[: int(len(whole.body) * share)])
        return _abort(request, answer)

    return Fault("truncated", act)


def drip(pieces: int = 50, every: float = 0.1) -> Fault:
    """Send the body in small pieces, with a pause of `every` seconds after each."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        whole = await _read_whole(request, handler)
        answer = await _begin_response(request, whole)
        size = max(1, -(-len(whole.body) // pieces))
        for start in range(0, len(whole.body), size):
            await answer.write(whole.body[start : start + size])
            await asyncio.sleep(every)
        await answer.write_eof()
        return answer

    return Fault("drip", act)


def delay(seconds: float) -> Fault:
    """Handle the request after a delay in seconds."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await handler(request)

    return Fault("delay", act)


def silence() -> Fault:
    """Read the request and never answer, until the client closes the connection."""

    async def act(request: web.Request, _handler: Handler) -> web.StreamResponse:
        await request.read()
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.02)
        return web.Response(status=503)

    return Fault("silence", act)


def changed(change: Callable[[bytes], bytes]) -> Fault:
    """Answer with the right body changed: `lambda body: body.replace(…)`."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        whole = await _read_whole(request, handler)
        return web.Response(
            status=whole.status, body=change(whole.body), content_type="application/json"
        )

    return Fault("changed", act)


def first(happening: Callable[[], Any]) -> Fault:
    """Call `happening` (a late record appears, a process dies, a clock moves), then answer."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        await asyncio.get_running_loop().run_in_executor(None, happening)
        return await handler(request)

    return Fault("first", act)


@dataclass(frozen=True, slots=True)
class _WholeResponse:
    status: int
    body: bytes
    content_type: str


async def _read_whole(request: web.Request, handler: Handler) -> _WholeResponse:
    response = await handler(request)
    body = response.body if isinstance(response, web.Response) else None
    return _WholeResponse(
        response.status, body if isinstance(body, bytes) else b"", response.content_type
    )


async def _begin_response(request: web.Request, whole: _WholeResponse) -> web.StreamResponse:
    answer = web.StreamResponse(status=whole.status)
    answer.content_type = whole.content_type
    answer.content_length = len(whole.body)
    await answer.prepare(request)
    return answer


def _abort(request: web.Request, begun: web.StreamResponse | None = None) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return begun or web.Response(status=500)
