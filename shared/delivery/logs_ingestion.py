"""The sink for the Logs Ingestion API, with Microsoft's own client and sign-in.

https://learn.microsoft.com/azure/azure-monitor/logs/logs-ingestion-api-overview
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.policies import RetryPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.monitor.ingestion import LogsIngestionClient

import shared.azure.identity
from shared.delivery.batch import Batch, compress
from shared.delivery.responses import error_for_response
from shared.errors import (
    DestinationError,
    DestinationRefused,
    DestinationUnavailable,
    SettingsError,
)
from shared.http.session import WORKER_THREADS, session_for
from shared.records.declared import declared_fields, declared_streams

if TYPE_CHECKING:
    from azure.core.credentials import AccessTokenInfo, TokenRequestOptions

_CONNECT_SECONDS = 10.0
# https://learn.microsoft.com/azure/azure-monitor/logs/logs-ingestion-api-overview#authentication
_AUDIENCES = {
    ".cn": "https://monitor.azure.cn",
    ".us": "https://monitor.azure.us",
}
_PUBLIC = "https://monitor.azure.com"


class SignIn:
    """A credential for the SDK: one token request at a time, with this project's errors."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """Return a token for ``scopes``.

        Raises ``DestinationUnavailable`` or ``DestinationRefused``.
        """
        # MSAL caches the token: a thread that waited here finds it in the cache.
        with self._lock:
            try:
                credential: Any = shared.azure.identity.credential()
                token: AccessTokenInfo = credential.get_token_info(*scopes, options=options or {})
            except ClientAuthenticationError as error:
                raise DestinationRefused(
                    "The app cannot sign in to Azure: check that the function app has a managed "
                    "identity, and that AZURE_CLIENT_ID names it where it is a user-assigned one. "
                    f"The identity service says: {' '.join(str(error.message).split())[:300]}",
                    status=401,
                ) from error
            except (AzureError, ValueError) as error:
                # MSAL raises ValueError for a response that is not JSON.
                raise DestinationUnavailable(
                    f"The identity service did not answer ({type(error).__name__})"
                ) from error
        return token

    def get_token(self, *scopes: str, **_: Any) -> Any:
        """See ``get_token_info``; the client's type requires this older form."""
        return self.get_token_info(*scopes)


class LogsIngestion:
    """Upload gzip batches to ``endpoint``, each stream through its DCR.

    ``rule_ids`` maps each setting that names a rule to the rule's immutable id (``dcr-…``);
    ``own_names`` has the settings that stand behind them where they are a named connection's own.
    """

    name = "Logs Ingestion API"

    def __init__(
        self,
        endpoint: str,
        rule_ids: Mapping[str, str],
        own_names: Mapping[str, str] | None = None,
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._own_names = own_names or {}
        self._rule_ids = rule_ids
        # The settings allow http for loopback only; the SDK refuses it by default.
        self._enforce_https = not self._endpoint.startswith("http:")
        self._client = LogsIngestionClient(
            self._endpoint,
            SignIn(),
            credential_scopes=[scope(self._endpoint)],
            # BatchSender retries: the SDK does not retry a POST after 408, 429 or a reset.
            retry_policy=RetryPolicy.no_retries(),
            permit_redirects=False,
            transport=_transport(self._endpoint),
        )

    def declared(self, stream: str) -> frozenset[str] | None:
        """See ``Sink.declared``: Azure Monitor drops every other field."""
        return declared_fields(stream)

    def upload(self, batch: Batch, timeout: float) -> int:
        """See ``Sink.upload``."""
        setting, rule_id = self._rule(batch.stream)
        body = compress(batch.body())
        try:
            self._client.upload(
                rule_id,
                batch.stream,
                BytesIO(body),
                connection_timeout=min(_CONNECT_SECONDS, timeout),
                read_timeout=timeout,
                enforce_https=self._enforce_https,
            )
        except HttpResponseError as error:
            raise self._error_for(error, setting, batch.stream) from error
        except (ServiceRequestError, ServiceResponseError) as error:
            raise DestinationUnavailable(
                f"No answer from {urlsplit(self._endpoint).hostname} ({type(error).__name__})"
            ) from error
        return len(body)

    def renew_sign_in(self) -> None:
        """See ``Sink.renew_sign_in``; the SDK drops its own token on a 401."""
        shared.azure.identity.forget_credential()

    def close(self) -> None:
        """See ``Sink.close``."""
        self._client.close()

    def _rule(self, stream: str) -> tuple[str, str]:
        """Return the setting that names the rule for ``stream``, and the rule's immutable id."""
        setting = rule_setting(stream, self._rule_ids)
        if setting is None:
            raise SettingsError(
                [f"LogsIngestionRuleId is not set, and no other rule serves the stream {stream}"]
            )
        return setting, self._rule_ids[setting]

    def _error_for(self, error: HttpResponseError, setting: str, stream: str) -> DestinationError:
        response: Any = error.response
        status = error.status_code or 0
        if response is None:
            return DestinationUnavailable(f"No whole answer ({type(error).__name__})")
        named = self._own_names.get(setting, f"{setting} (or LogsIngestionRuleId)")
        identity = "the app's identity (AZURE_CLIENT_ID where it is user-assigned)"
        return error_for_response(
            status,
            detail=_reason(response),
            retry_after=response.headers.get("Retry-After"),
            advice={
                401: f"It does not take the token: check {identity} and LogsIngestionEndpoint.",
                403: f"Give {identity} the role Monitoring Metrics Publisher on the data "
                f"collection rule that {named} names.",
                404: f"Check that {named} is the immutable id dcr-… of "
                f"a rule behind LogsIngestionEndpoint, and that the rule has the stream {stream}.",
            },
        )


def _transport(endpoint: str) -> RequestsTransport:
    """Build the SDK's transport with a pooled connection for each thread that may upload.

    Its default pool keeps ten; beyond ten webhook posts at a time, each upload would open a new TLS
    connection, at ten times the processor time of the upload itself.
    """
    session = session_for(endpoint, WORKER_THREADS)
    return RequestsTransport(session=session, connection_verify=session.verify)


def rule_setting(stream: str, rule_ids: Mapping[str, str]) -> str | None:
    """Return the setting of ``rule_ids`` whose rule serves ``stream``; None if it is not set."""
    declared = declared_streams().get(stream)
    return declared.rule_setting if declared and declared.rule_setting in rule_ids else None


def scope(endpoint: str) -> str:
    """Return the token scope of the cloud that ``endpoint`` belongs to."""
    host = urlsplit(endpoint).hostname or ""
    for ending, audience in _AUDIENCES.items():
        if host.endswith(ending):
            return f"{audience}/.default"
    return f"{_PUBLIC}/.default"


def _reason(response: Any) -> str:
    """Return ``Code: message`` of Azure's error body, or the body's text."""
    text: str = response.text()
    try:
        error = json.loads(text)["error"]
        return f"{error['code']}: {error['message']}"
    except (ValueError, KeyError, TypeError):
        return text
