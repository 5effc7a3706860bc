"""Sessions of requests that read what they need once: authorities a process, proxies a session.

Requests reads the trusted authorities again for each connection, which costs more than the
connection itself, and looks through the environment for each request, a quarter of its time.
https://requests.readthedocs.io/en/latest/user/advanced/#transport-adapters
"""

from __future__ import annotations

import functools
import ssl
from pathlib import Path
from typing import Any

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.ssl_ import create_urllib3_context

from shared.errors import SettingsError

# To a destination, as many as a worker has threads, if PYTHON_THREADPOOL_THREAD_COUNT is set to its
# highest.
WORKER_THREADS = 32
# A compressed batch is written at once, not in urllib3's blocks of 16 KB.
_BLOCK_BYTES = 1 << 18


def session_for(url: str, connections: int) -> requests.Session:
    """A session for the host of ``url`` alone; threads may share it, ``connections`` at a time.

    HTTPS_PROXY, NO_PROXY and REQUESTS_CA_BUNDLE count as they are now, a .netrc never: its entry
    for the host would replace the token. Raises SettingsError where there is no such bundle.
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
    session.trust_env = False
    session.proxies, session.verify = found["proxies"], found["verify"]
    session.mount("https://", _SharedTLS(connections))
    return session


class _SharedTLS(HTTPAdapter):
    """Keeps up to ``connections`` of a host open; verifies as requests does, never retries.

    ``verify`` is True (certifi's authorities) or a path (REQUESTS_CA_BUNDLE); nothing here ever
    leaves a certificate unverified.
    """

    def __init__(self, connections: int) -> None:
        super().__init__(pool_connections=4, pool_maxsize=connections)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """See ``HTTPAdapter``."""
        super().init_poolmanager(*arguments, blocksize=_BLOCK_BYTES, **options)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: bool | str, cert: Any = None
    ) -> tuple[Any, Any]:
        """See ``HTTPAdapter``: the pool's settings, of which the context is one."""
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        pool.pop("ca_certs", None)
        pool.pop("ca_cert_dir", None)
        pool["cert_reqs"] = "CERT_REQUIRED"
        pool["ssl_context"] = _context(verify if isinstance(verify, str) else certifi.where())
        return host, pool

    def cert_verify(self, conn: Any, url: str, verify: bool | str, cert: Any) -> None:
        """The context has the authorities already; a pool that names them would read them again."""
        del url, verify, cert
        conn.cert_reqs = "CERT_REQUIRED"


@functools.cache
def _context(authorities: str) -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    folder = Path(authorities).is_dir()
    context.load_verify_locations(
        cafile=None if folder else authorities, capath=authorities if folder else None
    )
    return context
