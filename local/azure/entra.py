"""Entra's token endpoints on loopback: managed identity, and an app's client credentials.

Tokens are signed and expire; Azure Monitor's local stand-in checks them as the real one would.
https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from datetime import datetime, timedelta
from typing import Any, Self

from aiohttp import web

from local.loopback.certificates import Certificates
from local.loopback.server import Clock, LocalServer, json_answer, utc_now
from local.loopback.service import Service

MANAGED_IDENTITY = "managed-identity"
TENANT = "11111111-2222-3333-4444-555555555555"


class TokenRefused(Exception):
    """A token that is refused; the message is the reason."""


class Identity(Service):
    """The token endpoints; http for the managed identity, https for Entra, as in Azure.

    `lifetime` applies to tokens issued from now on; `revoke()` invalidates all issued so far.
    """

    def __init__(self, certificates: Certificates, *, now: Clock = utc_now) -> None:
        self.now = now
        self.lifetime = timedelta(hours=24)
        self.header = secrets.token_hex(16)
        self.issued = 0
        self._key = secrets.token_bytes(32)
        self._generation = 0
        self._apps: dict[str, str] = {}
        self.managed = LocalServer([web.get("/msi/token", self._managed_identity)], now=now)
        discovery = "/{tenant}/v2.0/.well-known/openid-configuration"
        self.entra = LocalServer(
            [
                web.get(discovery, self._discovery),
                web.post("/{tenant}/oauth2/v2.0/token", self._client_credentials),
            ],
            tls=certificates.server_context(),
            now=now,
        )

    @property
    def endpoint(self) -> str:
        """The address for IDENTITY_ENDPOINT (IDENTITY_HEADER is `header`)."""
        return f"{self.managed.url}/msi/token"

    @property
    def authority(self) -> str:
        """Entra's address, for client credentials."""
        return self.entra.url

    def start(self) -> Self:
        """Begin to issue tokens."""
        self.managed.start()
        self.entra.start()
        return self

    def close(self) -> None:
        """Stop; tokens issued so far stay valid."""
        self.managed.close()
        self.entra.close()

    def register_app(self, client_id: str) -> str:
        """Register an app; return its secret."""
        self._apps[client_id] = secrets.token_urlsafe(24)
        return self._apps[client_id]

    def revoke(self) -> None:
        """Refuse every token issued so far."""
        self._generation += 1

    def caller(self, authorization: str, audience: str) -> str:
        """The client id that an Authorization header's token was issued to.

        Raises TokenRefused with the reason.
        """
        scheme, _, token = authorization.partition(" ")
        head, _, signature = token.rpartition(".")
        if scheme.lower() != "bearer" or not head:
            raise TokenRefused("The request has no bearer token.")
        if not hmac.compare_digest(self._sign(head).encode(), signature.encode()):
            raise TokenRefused("The token's signature is not valid.")
        claims = json.loads(_unbase64(head.partition(".")[2]))
        if claims["exp"] <= self.now().timestamp() or claims["gen"] != self._generation:
            raise TokenRefused("The token has expired.")
        if claims["aud"].rstrip("/") != audience:
            raise TokenRefused(f"The token is for {claims['aud']}, not for {audience}.")
        return str(claims["appid"])

    def _token(self, client_id: str, audience: str) -> tuple[str, datetime]:
        self.issued += 1
        expires = self.now() + self.lifetime
        claims = {
            "aud": audience,
            "appid": client_id,
            "exp": int(expires.timestamp()),
            "gen": self._generation,
            "jti": self.issued,
        }
        head = f"{_base64({'typ': 'JWT', 'alg': 'HS256'})}.{_base64(claims)}"
        return f"{head}.{self._sign(head)}", expires

    def _sign(self, text: str) -> str:
        digest = hmac.new(self._key, text.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    async def _managed_identity(self, request: web.Request) -> web.Response:
        if not hmac.compare_digest(request.headers.get("X-IDENTITY-HEADER", ""), self.header):
            return json_answer({"statusCode": 403, "message": "The header is not the app's."}, 403)
        resource = request.query.get("resource", "")
        if not resource:
            return json_answer({"statusCode": 400, "message": "resource is missing."}, 400)
        client_id = request.query.get("client_id", MANAGED_IDENTITY)
        token, expires = self._token(client_id, resource)
        return json_answer(
            {
                "access_token": token,
                "client_id": client_id,
                "expires_on": str(int(expires.timestamp())),
                "resource": resource,
                "token_type": "Bearer",
            }
        )

    async def _discovery(self, request: web.Request) -> web.Response:
        base = f"{self.authority}/{request.match_info['tenant']}"
        return json_answer(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
            }
        )

    async def _client_credentials(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("grant_type") != "client_credentials":
            return _denied("unsupported_grant_type", "AADSTS70003: unsupported grant type.", 400)
        client_id = str(form.get("client_id", ""))
        expected = self._apps.get(client_id)
        given = str(form.get("client_secret", ""))
        if expected is None or not hmac.compare_digest(expected.encode(), given.encode()):
            return _denied("invalid_client", "AADSTS7000215: Invalid client secret provided.", 401)
        scope = str(form.get("scope", ""))
        if not scope.endswith("/.default"):
            return _denied("invalid_scope", "AADSTS1002012: the scope must end in /.default.", 400)
        token, expires = self._token(client_id, scope.removesuffix("/.default"))
        seconds = int((expires - self.now()).total_seconds())
        return json_answer({"token_type": "Bearer", "expires_in": seconds, "access_token": token})


def _denied(error: str, description: str, status: int) -> web.Response:
    return json_answer({"error": error, "error_description": description}, status)


def _base64(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
