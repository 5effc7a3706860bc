"""The connection test goes the way that the app goes: with HTTPS_PROXY by the proxy."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web

from local.loopback.certificates import Certificates
from local.loopback.server import LocalServer
from shared.diagnostics import section as sections
from shared.diagnostics.steps import FAILED, PASSED, Step

# A name that only the proxy knows.
HOST = "console.vendor.invalid"


class Proxy:
    """A CONNECT proxy on loopback that leads every name to one port; ``asked`` are its requests."""

    def __init__(self, port: int, refusal: str = "") -> None:
        self.asked: list[str] = []
        self._port, self._refusal = port, refusal
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Take connections until the listener closes."""
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            with client:
                self._tunnel(client)

    def _tunnel(self, client: socket.socket) -> None:
        client.settimeout(5)
        self.asked.append(client.recv(65_536).decode())  # a request of one packet
        if self._refusal:
            client.sendall(f"HTTP/1.1 {self._refusal}\r\n\r\n".encode())
            return
        with socket.create_connection(("127.0.0.1", self._port), timeout=5) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            back.join(timeout=5)

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)


@contextmanager
def served(proxy: Proxy) -> Iterator[Proxy]:
    """The proxy in a thread."""
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    yield proxy
    proxy.close()
    thread.join(timeout=10)


@pytest.fixture
def vendor(tls: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """A TLS server on loopback, whose certificate is trusted."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls.bundle))
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    server = LocalServer([web.get("/", _hello)], tls=tls.server_context())
    server.start()
    yield server
    server.close()


async def _hello(_request: web.Request) -> web.Response:
    return web.Response(text="hello")


def steps(host: str, port: int) -> dict[str, Step]:
    """The steps of reaching an address, by name."""
    section = sections.TestSection("Vendor", time.monotonic() + 30)
    section.reach(f"https://{host}:{port}", "VendorUrl")
    return {step.name: step for step in section.steps}


def test_the_proxy_resolves_the_name_and_carries_the_handshake(
    vendor: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that this machine cannot resolve is no failure; the proxy's secret is in no text."""
    with served(Proxy(vendor.port)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:p%40ss@127.0.0.1:{proxy.port}")
        found = steps("localhost", 443)
    assert [found[name].result for name in ("name resolution", "TLS")] == [PASSED, PASSED]
    assert "The proxy resolves localhost" in found["name resolution"].detail
    assert f"by 127.0.0.1:{proxy.port}" in found["TLS"].detail
    (request,) = proxy.asked
    assert request.startswith("CONNECT localhost:443 ")
    assert base64.b64encode(b"user:p@ss").decode() in request
    assert not [step for step in found.values() if "p@ss" in step.detail or "p%40" in step.detail]


def test_a_name_that_only_the_proxy_knows_passes(
    vendor: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate is then compared with that name."""
    with served(Proxy(vendor.port)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
        found = steps(HOST, 443)
    assert found["name resolution"].result == PASSED
    assert found["TLS"].result == FAILED
    assert "not trusted" in found["TLS"].detail
    assert HOST in proxy.asked[0]


@pytest.mark.parametrize(
    ("refusal", "words"),
    [("407 Proxy Authentication Required", "user:password"), ("403 Forbidden", "lets the app out")],
)
def test_a_proxy_that_refuses_is_told(
    vendor: LocalServer, monkeypatch: pytest.MonkeyPatch, refusal: str, words: str
) -> None:
    """With its own words, and what to do."""
    with served(Proxy(vendor.port, refusal)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        found = steps(HOST, 443)
    assert refusal in found["TLS"].detail
    assert words in found["TLS"].advice


def test_without_a_proxy_or_by_no_proxy_it_goes_directly(
    vendor: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_PROXY is honoured as requests honours it; a name without an address fails."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "localhost,.invalid")
    found = steps("localhost", vendor.port)
    assert [step.result for step in found.values()] == [PASSED, PASSED]
    assert steps(HOST, 443)["name resolution"].result == FAILED


def test_the_authorities_are_those_of_the_app(
    vendor: LocalServer, tls: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """CURL_CA_BUNDLE, and a folder of certificates, count as they do for requests."""
    monkeypatch.setenv("NO_PROXY", "localhost")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    assert "not trusted" in steps("localhost", vendor.port)["TLS"].detail
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tls.bundle))
    assert steps("localhost", vendor.port)["TLS"].result == PASSED
