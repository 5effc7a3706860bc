"""A certificate authority made on the spot, so that the local world speaks real TLS."""

from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=30)
RENEW_BEFORE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where the certificate and its key lie, and the bundle that a client must trust."""

    certificate: Path
    key: Path
    bundle: Path

    def server_context(self) -> ssl.SSLContext:
        """What a local server serves TLS with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        return context


def certificates(folder: Path) -> Certificates:
    """The folder's certificates for 127.0.0.1 and localhost, made anew when absent or expiring.

    The bundle holds what this machine trusts already (REQUESTS_CA_BUNDLE, else certifi's) and the
    local authority on top, so the same bundle serves requests to the outside.
    """
    made = Certificates(folder / "server.pem", folder / "server.key", folder / "bundle.pem")
    if _fresh(made):
        return made
    folder.mkdir(parents=True, exist_ok=True)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key)
    server_key = ec.generate_private_key(ec.SECP256R1())
    server = _server(server_key, authority, authority_key)
    made.key.touch(mode=0o600)
    made.key.write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    authority_pem = authority.public_bytes(serialization.Encoding.PEM)
    made.certificate.write_bytes(server.public_bytes(serialization.Encoding.PEM) + authority_pem)
    made.bundle.write_bytes(_trusted_already(made.bundle) + b"\n" + authority_pem)
    return made


def _fresh(made: Certificates) -> bool:
    if not all(path.exists() for path in (made.certificate, made.key, made.bundle)):
        return False
    server = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    return server.not_valid_after_utc > datetime.now(UTC) + RENEW_BEFORE


def _trusted_already(ours: Path) -> bytes:
    named = os.environ.get("REQUESTS_CA_BUNDLE", "")
    existing = Path(named) if named else Path(certifi.where())
    if existing == ours or not existing.is_file():
        existing = Path(certifi.where())
    return existing.read_bytes()


def _builder(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = "Local world's certificate authority"
    return (
        _builder(name, _name(name), key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _server(
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    addresses = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    names = [x509.DNSName("localhost"), *map(x509.IPAddress, addresses)]
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _builder("localhost", authority.subject, key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
