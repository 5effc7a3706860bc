"""Tables, queues and blobs of the app's own storage account.

``AzureWebJobsStorage`` is a connection string, or its ``__`` settings name the account for the
app's identity, exactly as the Functions host reads them:
https://learn.microsoft.com/azure/azure-functions/functions-reference#connecting-to-host-storage-with-an-identity
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from shared.azure.identity import credential
from shared.errors import SettingsError
from shared.runtime.process import on_reset

if TYPE_CHECKING:
    from azure.data.tables import TableClient
    from azure.storage.blob import ContainerClient
    from azure.storage.queue import QueueClient

SETTING = "AzureWebJobsStorage"
# A storage call is tried again twice within seconds: whoever waits for it (OneLogin) is answered
# within 20 s even while storage is down.
_SHORT_RETRIES: dict[str, Any] = {
    "retry_total": 2,
    "retry_backoff_factor": 0.3,  # tables wait by these two,
    "retry_backoff_max": 2,
    "initial_backoff": 0,  # queues and blobs a second each time (15 s and more otherwise)
    "increment_base": 1,
    "random_jitter_range": 0.3,
    "connection_timeout": 3,
    "read_timeout": 10,
}
# The emulator's account and key are the same on every machine and documented:
# https://learn.microsoft.com/azure/storage/common/storage-use-azurite
_EMULATOR = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJ"
    "PLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
    "TableEndpoint=http://127.0.0.1:10002/devstoreaccount1;"
)


def _connection_string() -> str | None:
    value = os.environ.get(SETTING, "").strip()
    if value.lower().rstrip(";") == "usedevelopmentstorage=true":
        return _EMULATOR
    return value or None


def _account_url(service: str) -> str:
    url = os.environ.get(f"{SETTING}__{service}ServiceUri", "").strip()
    if url:
        return url
    account = os.environ.get(f"{SETTING}__accountName", "").strip()
    if account:
        suffix = os.environ.get(f"{SETTING}__endpointSuffix", "core.windows.net").strip()
        return f"https://{account}.{service}.{suffix}"
    raise SettingsError(
        [
            f"{SETTING}: the app's own storage is not set; give a connection string, or "
            f"{SETTING}__accountName (or {SETTING}__{service}ServiceUri) for the app's identity"
        ]
    )


@contextlib.contextmanager
def _named() -> Iterator[None]:
    """A connection string that is none becomes an error that names the setting."""
    try:
        yield
    except ValueError:
        raise SettingsError(
            [f"{SETTING} is no connection string: copy it again from the portal"]
        ) from None


@functools.cache
def table(name: str) -> TableClient:
    """A client of table ``name``; nothing is asked of the service yet."""
    from azure.data.tables import TableClient

    if connection := _connection_string():
        with _named():
            return TableClient.from_connection_string(connection, name, **_SHORT_RETRIES)
    return TableClient(_account_url("table"), name, credential=credential(), **_SHORT_RETRIES)


@functools.cache
def queue(name: str) -> QueueClient:
    """A client of queue ``name``; messages are text, as they are."""
    from azure.storage.queue import QueueClient

    if connection := _connection_string():
        with _named():
            return QueueClient.from_connection_string(connection, name, **_SHORT_RETRIES)
    return QueueClient(_account_url("queue"), name, credential=credential(), **_SHORT_RETRIES)


@functools.cache
def container(name: str) -> ContainerClient:
    """A client of blob container ``name``."""
    from azure.storage.blob import ContainerClient

    if connection := _connection_string():
        with _named():
            return ContainerClient.from_connection_string(connection, name, **_SHORT_RETRIES)
    return ContainerClient(_account_url("blob"), name, credential=credential(), **_SHORT_RETRIES)


@on_reset
def forget_clients() -> None:
    """Drop the cached clients: their settings have changed."""
    for cached in (table, queue, container):
        cached.cache_clear()
