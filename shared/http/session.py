"""Sessions of requests that read the CA bundle once a process and the proxies once a session.

By default, requests reads the CA bundle for each connection, which costs more than the connection,
and searches the environment for each request, which costs a quarter of its time.
https://requests.readthedocs.io/en/latest/user/advanced/#transport-adapters
"""

from __future__ import annotations

import functools
import ssl
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.ssl_ import create_urllib3_context

from shared.errors import SettingsError

# Connections to a sink: the highest PYTHON_THREADPOOL_THREAD_COUNT of a worker.
WORKER_THREADS = 32
# Write a compressed batch at once, not in urllib3's blocks of 16 KB.
_BLOCK_BYTES = 1 << 18


def session_for(url: str, connections: int) -> requests.Session:
    """Return a thread-safe session for the host of ``url``, with up to ``connections`` open.

    Read HTTPS_PROXY, NO_PROXY and REQUESTS_CA_BUNDLE now, and never a .netrc: its entry for the
    host would replace the token. Raises SettingsError if the bundle does not exist, or is none.
    """
    session = requests.Session()
    found = session.merge_environment_settings(url, {}, None, None, None)
    if isinstance(found["verify"], str) and not Path(found["verify"]).exists():
        raise SettingsError(
            [
                "REQUESTS_CA_BUNDLE (or CURL_CA_BUNDLE) names no file that there is: set it to the "
                "trusted authorities' certificates, or remove it"
            ]
        )
    if isinstance(found["verify"], str) and not _has_pem(Path(found["verify"])):
        raise _no_certificate()
    session.trust_env = False
    session.proxies, session.verify = found["proxies"], found["verify"]
    share_tls(session, connections)
    if url.startswith("https://"):
        _loading(_authorities(session.verify))
    return session


def share_tls(session: requests.Session, connections: int) -> None:
    """Let the session's connections trust by the CA bundle that the process has read once."""
    session.mount("https://", _SharedTLS(connections))


class _SharedTLS(HTTPAdapter):
    """An adapter whose connections share one TLS context; it always verifies and never retries.

    ``verify`` is True (certifi's CA bundle) or a path (REQUESTS_CA_BUNDLE).
    """

    def __init__(self, connections: int) -> None:
        super().__init__(pool_connections=4, pool_maxsize=connections)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """See ``HTTPAdapter``."""
        super().init_poolmanager(*arguments, blocksize=_BLOCK_BYTES, **options)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: bool | str, cert: Any = None
    ) -> tuple[Any, Any]:
        """See ``HTTPAdapter``; put the shared TLS context into the pool's settings."""
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        pool.pop("ca_certs", None)
        pool.pop("ca_cert_dir", None)
        pool["cert_reqs"] = "CERT_REQUIRED"
        pool["ssl_context"] = _context(_authorities(verify))
        return host, pool

    def cert_verify(self, conn: Any, url: str, verify: bool | str, cert: Any) -> None:
        """See ``HTTPAdapter``; name no CA bundle, or the pool would read it again."""
        del url, verify, cert
        conn.cert_reqs = "CERT_REQUIRED"


def _authorities(verify: bool | str | None) -> str:
    return verify if isinstance(verify, str) else certifi.where()


def _context(authorities: str) -> ssl.SSLContext:
    """Return the TLS context that trusts ``authorities``, the path of a CA bundle."""
    try:
        return _loading(authorities).result()
    except OSError:  # ssl.SSLError too
        _loading.cache_clear()  # a mended bundle serves the same process
        raise _no_certificate() from None


def _has_pem(bundle: Path) -> bool:
    """Whether a CA bundle looks like one: the rest shows when it is read, beside other work."""
    try:
        return bundle.is_dir() or b"-----BEGIN " in bundle.read_bytes()
    except OSError:
        return False


def _no_certificate() -> SettingsError:
    return SettingsError(
        [
            "REQUESTS_CA_BUNDLE (or CURL_CA_BUNDLE) has no certificate that can be read: "
            "it is a file of PEM text (-----BEGIN CERTIFICATE-----)"
        ]
    )


# Keyed by the bundle's path, so a changed setting needs no reset.
@functools.cache
def _loading(authorities: str) -> Future[ssl.SSLContext]:
    """Load a CA bundle in a thread.

    OpenSSL reads for 20 ms without Python's lock: a cold start imports Azure's SDKs meanwhile.
    """
    loader = ThreadPoolExecutor(1, thread_name_prefix="authorities")
    loading = loader.submit(_load, authorities)
    loader.shutdown(wait=False)
    return loading


def _load(authorities: str) -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    folder = Path(authorities).is_dir()
    context.load_verify_locations(
        cafile=None if folder else authorities, capath=authorities if folder else None
    )
    return context
