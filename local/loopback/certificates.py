"""A local certificate authority (trustme) and its server certificate: real TLS on loopback."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import trustme
from cryptography import x509

from tools.project import ROOT

# The local world's.
FOLDER = ROOT / ".local" / "certificates"
LIFETIME = timedelta(days=30)
RENEW_BEFORE = timedelta(days=1)
IDENTITIES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of the server's certificate and key, and of the CA bundle that a client must trust."""

    certificate: Path
    key: Path
    bundle: Path

    def server_context(self) -> ssl.SSLContext:
        """The TLS settings of a local server: TLS 1.2 or later."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        return context


def certificates(folder: Path = FOLDER) -> Certificates:
    """The folder's certificates for 127.0.0.1, ::1 and localhost; made when absent or expiring.

    The bundle holds the authorities that this machine trusts already (REQUESTS_CA_BUNDLE, else
    certifi's) and the local one, so that the same bundle serves requests to the internet.
    """
    paths = Certificates(folder / "server.pem", folder / "server.key", folder / "bundle.pem")
    if _fresh(paths):
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    authority = trustme.CA(path_length=0, organization_unit_name="Local certificate authority")
    # Begin an hour ago: a client's clock may be behind.
    server = authority.issue_cert(
        *IDENTITIES, not_before=now - timedelta(hours=1), not_after=now + LIFETIME
    )
    paths.key.touch(mode=0o600)
    server.private_key_pem.write_to_path(paths.key)
    server.cert_chain_pems[0].write_to_path(paths.certificate)
    paths.bundle.write_bytes(_trusted_already(paths.bundle) + b"\n" + authority.cert_pem.bytes())
    return paths


def _fresh(paths: Certificates) -> bool:
    if not all(path.exists() for path in (paths.certificate, paths.key, paths.bundle)):
        return False
    server = x509.load_pem_x509_certificate(paths.certificate.read_bytes())
    return server.not_valid_after_utc > datetime.now(UTC) + RENEW_BEFORE


def _trusted_already(local_bundle: Path) -> bytes:
    named = os.environ.get("REQUESTS_CA_BUNDLE", "")
    existing = Path(named) if named else Path(certifi.where())
    if existing == local_bundle or not existing.is_file():
        existing = Path(certifi.where())
    return existing.read_bytes()
