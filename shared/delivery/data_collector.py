"""The sink for the HTTP Data Collector API, for a workspace without a data collection rule.

Microsoft's support ended on 14 September 2026. The workspace's key signs the length in bytes:
https://learn.microsoft.com/previous-versions/azure/azure-monitor/logs/data-collector-api
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import urlsplit

import requests

from shared.delivery.batch import Batch
from shared.delivery.responses import error_for_response
from shared.errors import DestinationRefused, DestinationUnavailable, SettingsError
from shared.http.session import WORKER_THREADS, session_for
from shared.records.declared import declared_streams
from shared.settings import key_vault
from shared.settings.app import DestinationSettings, read_destination

logger = logging.getLogger("connectors.delivery")

_PATH = "/api/logs"
_CONNECT_SECONDS = 10.0


class DataCollector:
    """Post uncompressed batches to the workspace, which flattens records and names the columns."""

    name = "Data Collector API"

    def __init__(self, settings: DestinationSettings) -> None:
        self._uri = settings.data_collector_uri.rstrip("/")
        self._workspace = settings.workspace_id
        self._key = settings.workspace_key
        self._session = session_for(self._uri, WORKER_THREADS)
        logger.warning(
            "Delivering through the HTTP Data Collector API, whose support ended on 14 September "
            "2026: set LogsIngestionEndpoint and a rule to use the Logs Ingestion API"
        )

    def declared(self, stream: str) -> frozenset[str] | None:  # noqa: ARG002  (the seam's)
        """See ``Sink.declared``: the API takes any field."""
        return None

    def upload(self, batch: Batch, timeout: float) -> int:
        """See ``Sink.upload``."""
        body = batch.body()
        date = format_datetime(datetime.now(UTC), usegmt=True)
        try:
            answer = self._session.post(
                f"{self._uri}{_PATH}",
                params={"api-version": "2016-04-01"},
                data=body,
                headers={
                    "Content-Type": "application/json",
                    "Authorization": signature(self._workspace, self._key, date, len(body)),
                    "Log-Type": log_type(batch.stream),
                    "x-ms-date": date,
                    "time-generated-field": "TimeGenerated",
                },
                timeout=(min(_CONNECT_SECONDS, timeout), timeout),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise DestinationUnavailable(
                f"No answer from {urlsplit(self._uri).hostname} ({type(error).__name__})"
            ) from error
        if answer.status_code in (401, 403):
            raise DestinationRefused(
                f"The workspace refused the signature with HTTP {answer.status_code}: check "
                "WorkspaceID and WorkspaceKey, and that logAnalyticsUri is that workspace's",
                status=401,
            )
        if answer.status_code != 200:
            raise error_for_response(
                answer.status_code,
                detail=answer.text,
                retry_after=answer.headers.get("Retry-After"),
                advice={404: "Check WorkspaceID and logAnalyticsUri."},
            )
        return len(body)

    def renew_sign_in(self) -> None:
        """See ``Sink.renew_sign_in``: the key may have changed in the Key Vault."""
        if key_vault.refresh_secrets():
            self._key = read_destination().workspace_key

    def close(self) -> None:
        """See ``Sink.close``."""
        self._session.close()


def log_type(stream: str) -> str:
    """Return the ``Log-Type`` of a stream: its table without ``_CL``.

    Raises SettingsError if the stream has no table for this API.
    """
    declared = declared_streams().get(stream)
    if declared is None or declared.log_type is None:
        raise SettingsError(
            [
                "LogsIngestionEndpoint is not set, and the Data Collector API has no table for "
                f"{stream}"
            ]
        )
    return declared.log_type


def signature(workspace: str, key: str, date: str, length: int) -> str:
    """Return the ``Authorization`` header of a post of ``length`` bytes (not characters)."""
    text = f"POST\n{length}\napplication/json\nx-ms-date:{date}\n{_PATH}"
    digest = hmac.new(base64.b64decode(key), text.encode("ascii"), hashlib.sha256).digest()
    return f"SharedKey {workspace}:{base64.b64encode(digest).decode('ascii')}"
