"""Check a setting's text: each function gives back its value, tidied, or says why it cannot be.

A check raises ``ValueError`` with the rest of a sentence that begins with the setting's name.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"https": 443, "http": 80}
# Characters of a bearer token, as the portal's form asks for.
LEAST_TOKEN = 16
_NOT_SENDABLE = (
    "has characters that cannot be part of a token, perhaps invisible ones: paste it again"
)
# Invisible characters, which pasted text may bring, are none of a host's.
_HOST = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*\.?")


def https_url(value: str, example: str) -> str:
    """An https address (http only on loopback) without a trailing slash, query or credentials.

    Its host is in lower case, and a default port is left out.
    """
    try:
        url = urlsplit(value)
        host = url.hostname or ""
        port = url.port
    except ValueError:
        raise ValueError(f"is no address: write it like {example}") from None
    loopback = host in ("localhost", "127.0.0.1", "::1")
    if url.scheme != "https" and not (url.scheme == "http" and loopback):
        raise ValueError(f"must begin with https://, like {example}")
    if not (_HOST.fullmatch(host) or ":" in host) or re.search(r"[\s<>{}]", value):
        raise ValueError(f"is no address: write it like {example}")
    if not value.isprintable():
        raise ValueError(f"has invisible characters: type it, like {example}")
    if url.query or url.fragment or url.username or url.password:
        raise ValueError(f"must be the address alone, like {example}")
    name = f"[{host}]" if ":" in host else host
    if port not in (None, _DEFAULT_PORTS[url.scheme]):
        name = f"{name}:{port}"
    return f"{url.scheme}://{name}{url.path.rstrip('/')}"


def choice(value: str, known: Sequence[str]) -> str:
    """One of ``known``, in lower case."""
    if value.lower() not in known:
        raise ValueError(f"must be {' or '.join(known)}")
    return value.lower()


def stream_names(value: str, known: Sequence[str]) -> tuple[str, ...]:
    """Stream names between commas, lower case and in the order of ``known``."""
    names = [name.strip().lower() for name in value.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        what = f"has unknown streams {', '.join(unknown)}" if unknown else "names no stream"
        raise ValueError(f"{what}: choose from {', '.join(known)}")
    return tuple(name for name in known if name in names)


def api_token(value: str) -> str:
    """A token that goes into a header as it is."""
    if not (value.isascii() and value.isprintable()):
        raise ValueError(_NOT_SENDABLE)
    return value


def bearer_token(value: str) -> str:
    """A token that a sender of posts was given; a short one can be guessed."""
    if len(value) < LEAST_TOKEN:
        raise ValueError(
            f"is shorter than {LEAST_TOKEN} characters: make a long random one "
            "(openssl rand -hex 32), and give it to the sender too"
        )
    if not value.isprintable():
        raise ValueError(_NOT_SENDABLE)
    return value


def rule_id(value: str) -> str:
    """A rule's immutable id; a name or a resource id is what people paste by mistake."""
    if not re.fullmatch(r"dcr-[0-9A-Za-z-]{1,64}", value):
        raise ValueError(
            "must be a rule's immutable id (dcr-…), as the rule's JSON view shows it, "
            "not its name or resource id"
        )
    return value


def email(value: str) -> str:
    """An account's e-mail address; Basic auth would split it at a colon."""
    if ":" in value or not value.isprintable():
        raise ValueError("must be the account's e-mail address")
    return value


def workspace_id(value: str) -> str:
    """A workspace's id, a GUID."""
    if not re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", value):
        raise ValueError("must be the workspace's id, a GUID, not its name")
    return value


def workspace_key(value: str) -> str:
    """A workspace's key, base64."""
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError("is not base64: copy the workspace's primary key again") from None
    return value


def data_collector_uri(value: str) -> str:
    """The Data Collector's address in any cloud: the workspace's id before a known host."""
    url = https_url(value, "https://<WorkspaceID>.ods.opinsights.azure.us")
    host = urlsplit(url).hostname or ""
    loopback = host in ("localhost", "127.0.0.1", "::1")
    if not loopback and not re.fullmatch(r"[0-9a-f-]{36}\.ods\.opinsights\.azure\.\w+", host):
        raise ValueError("must be like https://<WorkspaceID>.ods.opinsights.azure.us")
    return url
