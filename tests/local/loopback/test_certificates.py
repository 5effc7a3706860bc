"""The local authority's certificates: kept, renewed in time, and trusted besides all others."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import pytest
import requests
import trustme
from aiohttp import web

from local.loopback.certificates import IDENTITIES, LIFETIME, RENEW_BEFORE, certificates
from local.loopback.server import LocalServer


async def hello(_request: web.Request) -> web.Response:
    return web.json_response({})


@pytest.fixture(autouse=True)
def no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bundle of the person's own is named."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)


def test_both_names_of_this_machine_are_served(tmp_path: Path) -> None:
    """127.0.0.1 and localhost verify against the bundle."""
    tls = certificates(tmp_path)
    with LocalServer([web.get("/", hello)], tls=tls.server_context()) as server:
        for host in ("127.0.0.1", "localhost"):
            url = f"https://{host}:{server.port}/"
            assert requests.get(url, verify=str(tls.bundle), timeout=5).ok


def test_certificates_are_kept_until_a_day_before_they_expire(tmp_path: Path) -> None:
    """A second start uses the same files; one that is about to expire is replaced."""
    first = certificates(tmp_path).certificate.read_bytes()
    assert certificates(tmp_path).certificate.read_bytes() == first
    ends = datetime.now(UTC) + RENEW_BEFORE - timedelta(minutes=1)
    old = trustme.CA().issue_cert(*IDENTITIES, not_after=ends).cert_chain_pems[0].bytes()
    (tmp_path / "server.pem").write_bytes(old)
    renewed = certificates(tmp_path)
    assert renewed.certificate.read_bytes() not in (first, old)
    renewed.server_context()  # raises where key and certificate differ
    assert LIFETIME > RENEW_BEFORE


def test_the_bundle_adds_to_what_is_trusted_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On top of certifi's authorities, or of those that REQUESTS_CA_BUNDLE names."""
    default = certificates(tmp_path / "default").bundle.read_bytes()
    assert default.startswith(Path(certifi.where()).read_bytes())
    company = tmp_path / "company.pem"
    company.write_bytes(trustme.CA().cert_pem.bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(company))
    assert certificates(tmp_path / "company").bundle.read_bytes().startswith(company.read_bytes())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_only_the_owner_reads_the_key(tmp_path: Path) -> None:
    """Another account of the machine cannot serve in the local world's name."""
    assert certificates(tmp_path).key.stat().st_mode & 0o077 == 0
