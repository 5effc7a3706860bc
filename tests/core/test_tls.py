"""Connections that share one TLS context verify exactly as others do."""

from __future__ import annotations

from pathlib import Path

import certifi
import pytest
import requests
from aiohttp import web

from local.certificates import Certificates, certificates
from local.server import LocalServer
from shared import tls as shared_tls
from shared.errors import VendorUnavailable
from shared.tls import SharedTLS
from shared.vendor_http import VendorSession


async def hello(_: web.Request) -> web.Response:
    return web.json_response({"data": []})


def session() -> requests.Session:
    made = requests.Session()
    made.mount("https://", SharedTLS(2))
    return made


def test_a_trusted_certificate_is_accepted_for_its_own_names_only(tls: Certificates) -> None:
    """It is for 127.0.0.1 and localhost; 127.1 is the same place by a name that it lacks."""
    with (
        LocalServer([web.get("/", hello)], tls=tls.server_context()) as server,
        session() as client,
    ):
        assert client.get(server.url, verify=str(tls.bundle), timeout=5).ok
        elsewhere = server.url.replace("127.0.0.1", "127.1")
        with pytest.raises(requests.exceptions.SSLError):
            client.get(elsewhere, verify=str(tls.bundle), timeout=5)


def test_an_unknown_authority_is_refused(tls: Certificates, tmp_path: Path) -> None:
    """By certifi's authorities, by another local one, and by a session that asks for neither."""
    other = certificates(tmp_path)
    with (
        LocalServer([web.get("/", hello)], tls=tls.server_context()) as server,
        session() as client,
    ):
        client.trust_env = False
        for authorities in (certifi.where(), str(other.bundle), True, False):
            with pytest.raises(requests.exceptions.SSLError):
                client.get(server.url, verify=authorities, timeout=5)


def test_a_vendor_behind_an_unknown_authority_is_named_with_the_cure(
    tls: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An inspecting proxy is the usual reason, and REQUESTS_CA_BUNDLE the cure."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with LocalServer([web.get("/", hello)], tls=tls.server_context()) as server:
        vendor = VendorSession("Vendor", {}, str)
        with pytest.raises(VendorUnavailable, match="REQUESTS_CA_BUNDLE"):
            vendor.get(server.url)


def test_the_authorities_are_read_once_for_any_number_of_sessions(tls: Certificates) -> None:
    """Each run has a session of its own."""
    shared_tls._context.cache_clear()
    with LocalServer([web.get("/", hello)], tls=tls.server_context()) as server:
        for _ in range(3):
            with session() as client:
                assert client.get(server.url, verify=str(tls.bundle), timeout=5).ok
    assert shared_tls._context.cache_info().misses == 1
