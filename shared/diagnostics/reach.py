"""Reach an address as the app does: directly, or by HTTPS_PROXY, which resolves names."""

from __future__ import annotations

import base64
import http.client
import os
import socket
import ssl
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from shared.diagnostics.steps import StepFailed, StepSkipped

_CONNECT_SECONDS = 10.0
_LET_OUT = "See that firewalls and network rules let the app out to it."


def proxy_for(url: str) -> SplitResult | None:
    """The proxy by which requests reaches ``url`` (HTTPS_PROXY, ALL_PROXY, NO_PROXY), or None."""
    from requests.utils import get_environ_proxies, select_proxy

    found = select_proxy(url, get_environ_proxies(url))
    if not found:
        return None
    return urlsplit(found if "//" in found else f"http://{found}")


def resolve(host: str, port: int, setting: str) -> str:
    """Resolve a host's name; raises ``StepFailed``. ``setting`` names where the host comes from."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise StepFailed(
            f"{host} has no address: {error}",
            f"See that {setting} is spelt right, and that the app's network can resolve the name.",
        ) from error
    addresses = {str(entry[4][0]) for entry in found}
    return f"{host} is {', '.join(sorted(addresses)[:3])}"


def resolve_by_proxy(host: str, proxy: SplitResult) -> str:
    """Resolve the proxy's name alone: ``host`` is for the proxy to resolve."""
    found = resolve(proxy.hostname or "", _port(proxy), "HTTPS_PROXY")
    return f"The proxy resolves {host}; {found}"


def handshake(host: str, port: int, proxy: SplitResult | None) -> str:
    """Shake hands by TLS 1.2 or later. Raises ``StepFailed``, ``StepSkipped`` for odd proxies."""
    if proxy is not None and proxy.scheme != "http":
        raise StepSkipped(f"The proxy is of {proxy.scheme}: the sign-in shows whether it works")
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    bundle = next(filter(None, map(os.environ.get, names)), None) or _certifi()
    folder = Path(bundle).is_dir()
    where = f"{host}:{port}" + (f" by the proxy {_named(proxy)}" if proxy else "")
    try:
        context = ssl.create_default_context(
            cafile=None if folder else bundle, capath=bundle if folder else None
        )
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        version = _shaken(context, host, port, proxy)
    except ssl.SSLCertVerificationError as error:
        raise StepFailed(
            f"The certificate of {host} is not trusted: {error.verify_message}",
            "Behind an inspecting proxy, REQUESTS_CA_BUNDLE must name its authority's file.",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise StepFailed(
            f"No TLS connection to {where}: {_cause(error)}", _advice(error, proxy)
        ) from error
    return f"{version}, the certificate is trusted" + (f"; by {_named(proxy)}" if proxy else "")


def _shaken(context: ssl.SSLContext, host: str, port: int, proxy: SplitResult | None) -> str | None:
    if proxy is None:
        connection = http.client.HTTPSConnection(
            host, port, timeout=_CONNECT_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPSConnection(
            proxy.hostname or "", _port(proxy), timeout=_CONNECT_SECONDS, context=context
        )
        connection.set_tunnel(host, port, _authorization(proxy))
    try:
        connection.connect()
        secured: ssl.SSLSocket = connection.sock
        return secured.version()
    finally:
        connection.close()


def _authorization(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _port(proxy: SplitResult) -> int:
    return proxy.port or (443 if proxy.scheme == "https" else 80)


def _named(proxy: SplitResult) -> str:
    """The proxy without user and password."""
    return f"{proxy.hostname}:{_port(proxy)}"


def _cause(error: Exception) -> str:
    """The proxy's own words, else the kind of error."""
    return str(error) if str(error).startswith("Tunnel") else type(error).__name__


def _advice(error: Exception, proxy: SplitResult | None) -> str:
    if proxy is None:
        return _LET_OUT
    if "407" in str(error):
        return "The proxy asks for a user: HTTPS_PROXY=http://user:password@host:port."
    return f"See that the proxy lets the app out to it. {_LET_OUT}"


def _certifi() -> str:
    import certifi

    return certifi.where()
