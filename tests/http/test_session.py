"""Sessions that share a TLS context verify as strictly as any, and read the environment once."""

from __future__ import annotations

from pathlib import Path

import certifi
import pytest
import requests
from aiohttp import web

from local.loopback.certificates import Certificates, certificates
from local.loopback.server import LocalServer
from shared.errors import SettingsError, VendorUnavailable
from shared.http import session as shared_tls
from shared.http.session import session_for
from shared.source.advice import Advice
from shared.source.client import ApiClient

ADVICE = Advice("Vendor", {None: "look at it"}, {})


async def hello(request: web.Request) -> web.Response:
    return web.json_response({"signed_in": request.headers.get("Authorization")})


def test_a_trusted_certificate_is_accepted_for_its_own_names_only(tls: Certificates) -> None:
    """The name 127.1 is refused: it leads to 127.0.0.1, but the certificate lacks it."""
    with (
        LocalServer([web.get("/", hello)], tls=tls.server_context()) as server,
        session_for(server.url, 2) as client,
    ):
        assert client.get(server.url, verify=str(tls.bundle), timeout=5).ok
        elsewhere = server.url.replace("127.0.0.1", "127.1")
        with pytest.raises(requests.exceptions.SSLError):
            client.get(elsewhere, verify=str(tls.bundle), timeout=5)


def test_an_unknown_authority_is_refused(tls: Certificates, tmp_path: Path) -> None:
    """Certifi's authorities do not verify a local certificate, nor does another local authority."""
    other = certificates(tmp_path)
    with (
        LocalServer([web.get("/", hello)], tls=tls.server_context()) as server,
        session_for(server.url, 2) as client,
    ):
        for authorities in (certifi.where(), str(other.bundle), True, False):
            with pytest.raises(requests.exceptions.SSLError):
                client.get(server.url, verify=authorities, timeout=5)


def test_a_vendor_behind_an_unknown_authority_is_named_with_the_cure(
    tls: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names REQUESTS_CA_BUNDLE: an inspecting proxy is the usual reason."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with LocalServer([web.get("/", hello)], tls=tls.server_context()) as server:
        vendor = ApiClient(ADVICE, server.url, {})
        with pytest.raises(VendorUnavailable, match="REQUESTS_CA_BUNDLE"):
            vendor.get(server.url)


def test_the_authorities_are_read_once_for_any_number_of_sessions(
    tls: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run makes a new session, and must not read the CA bundle again."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls.bundle))
    shared_tls._loading.cache_clear()
    with LocalServer([web.get("/", hello)], tls=tls.server_context()) as server:
        for _ in range(3):
            with session_for(server.url, 2) as client:
                assert client.get(server.url, timeout=5).ok
    assert shared_tls._loading.cache_info().misses == 1


def test_a_session_begins_to_read_the_authorities_before_its_first_request(
    tls: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another thread, while a cold start imports; a host on loopback by http needs none."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls.bundle))
    shared_tls._loading.cache_clear()
    session_for("http://127.0.0.1", 2)
    assert shared_tls._loading.cache_info().currsize == 0
    session_for("https://127.0.0.1", 2)
    assert shared_tls._loading.cache_info().currsize == 1
    assert shared_tls._loading(str(tls.bundle)).result().cert_store_stats()["x509_ca"]


def test_a_bundle_that_could_not_be_read_is_read_again(
    tls: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that is mended serves the same process."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\nbroken off", encoding="ascii")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with LocalServer([web.get("/", hello)], tls=tls.server_context()) as server:
        with session_for(server.url, 2) as client, pytest.raises(SettingsError, match="CA_BUNDLE"):
            client.get(server.url, timeout=5)
        bundle.write_bytes(tls.bundle.read_bytes())
        with session_for(server.url, 2) as client:
            assert client.get(server.url, timeout=5).ok


def test_the_environment_counts_as_it_was_when_the_session_was_made(
    tls: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session keeps the CA bundle, the proxy and the proxy's exceptions of its creation."""
    with LocalServer([web.get("/", hello)], tls=tls.server_context()) as server:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls.bundle))
        monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.setenv(name, "")
        with session_for(server.url, 2) as client, pytest.raises(requests.exceptions.ProxyError):
            client.get(server.url, timeout=5)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with session_for(server.url, 2) as client:
            monkeypatch.delenv("REQUESTS_CA_BUNDLE")
            assert client.get(server.url, timeout=5).ok


def test_a_netrc_entry_replaces_no_token(
    tls: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By default, requests would sign in with the .netrc entry."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else", encoding="ascii")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls.bundle))
    with LocalServer([web.get("/", hello)], tls=tls.server_context()) as server:
        vendor = ApiClient(ADVICE, server.url, {"Authorization": "ApiToken t"})
        assert vendor.get(server.url).json == {"signed_in": "ApiToken t"}


def test_a_bundle_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes before any request, and names the setting."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "nowhere.pem")
    with pytest.raises(SettingsError, match="REQUESTS_CA_BUNDLE"):
        session_for("https://127.0.0.1", 2)


@pytest.mark.parametrize("content", [b"", b"\x30\x82\x03", b"a certificate"])
def test_a_bundle_that_is_none_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    """A certificate as Windows exports it (DER) is no PEM text; it is a setting to change."""
    bundle = tmp_path / "authority.cer"
    bundle.write_bytes(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with pytest.raises(SettingsError, match="REQUESTS_CA_BUNDLE"):
        session_for("https://127.0.0.1", 2)
