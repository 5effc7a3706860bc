"""Clients of the app's own storage account, their errors, and create-on-first-use.

``AzureWebJobsStorage`` is a connection string, or its ``__`` settings name the account for the
app's identity, as the Functions host reads them:
https://learn.microsoft.com/azure/azure-functions/functions-reference#connecting-to-host-storage-with-an-identity
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from shared.azure.identity import credential
from shared.errors import SettingsError, StorageUnavailable
from shared.http.session import WORKER_THREADS, share_tls
from shared.runtime.process import process_singleton

if TYPE_CHECKING:
    from azure.core.pipeline.transport import RequestsTransport
    from azure.data.tables import TableClient
    from azure.storage.blob import ContainerClient
    from azure.storage.queue import QueueClient

Result = TypeVar("Result")

SETTING = "AzureWebJobsStorage"
# Retry a storage call twice within seconds: a sender waits for it, and is answered within 20 s
# even while storage is down.
_SHORT_RETRIES: dict[str, Any] = {
    "retry_total": 2,
    # Backoff of tables, in seconds.
    "retry_backoff_factor": 0.3,
    "retry_backoff_max": 2,
    # Backoff of queues and blobs: 1 s each time, where the default is 15 s and more.
    "initial_backoff": 0,
    "increment_base": 1,
    "random_jitter_range": 0.3,
}
# In seconds.
_TIMEOUTS: dict[str, float] = {"connection_timeout": 3, "read_timeout": 10}
# Use the emulator's documented account and key, the same on every machine:
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


class Storage(Protocol):
    """The seam to queues and blob containers; this module is its usual implementation."""

    def queue(self, name: str, /) -> QueueClient:
        """Return a client of queue ``name``."""
        ...

    def container(self, name: str, /) -> ContainerClient:
        """Return a client of blob container ``name``."""
        ...


@contextlib.contextmanager
def _connection_string_errors() -> Iterator[None]:
    """Turn an SDK's ValueError into a SettingsError that does not quote the connection string."""
    try:
        yield
    except ValueError:
        raise SettingsError(
            [f"{SETTING} is no connection string: copy it again from the portal"]
        ) from None


@contextlib.contextmanager
def _address_errors(service: str) -> Iterator[None]:
    """Turn an SDK's ValueError for an address into a SettingsError that names the settings."""
    try:
        yield
    except ValueError:
        raise SettingsError(
            [
                f"{SETTING}__{service}ServiceUri (or {SETTING}__accountName) makes no https "
                f"address: write it like https://acme.{service}.core.windows.net (or acme)"
            ]
        ) from None


def _transport() -> RequestsTransport:
    """Build an SDK's transport; its own would read the CA bundle for each connection, 20 ms."""
    import requests
    from azure.core.pipeline.transport import RequestsTransport

    session = requests.Session()
    share_tls(session, WORKER_THREADS)
    return RequestsTransport(session=session, **_TIMEOUTS)


def _options() -> dict[str, Any]:
    return {**_SHORT_RETRIES, "transport": _transport()}


@process_singleton
def table(name: str) -> TableClient:
    """Return a client of table ``name``, made once a process; it sends no request yet."""
    from azure.data.tables import TableClient

    if connection := _connection_string():
        with _connection_string_errors():
            return TableClient.from_connection_string(connection, name, **_options())
    with _address_errors("table"):
        return TableClient(_account_url("table"), name, credential=credential(), **_options())


@process_singleton
def queue(name: str) -> QueueClient:
    """Return a client of queue ``name``, made once a process; messages are plain text."""
    from azure.storage.queue import QueueClient

    if connection := _connection_string():
        with _connection_string_errors():
            return QueueClient.from_connection_string(connection, name, **_options())
    with _address_errors("queue"):
        return QueueClient(_account_url("queue"), name, credential=credential(), **_options())


@process_singleton
def container(name: str) -> ContainerClient:
    """Return a client of blob container ``name``, made once a process."""
    from azure.storage.blob import ContainerClient

    if connection := _connection_string():
        with _connection_string_errors():
            return ContainerClient.from_connection_string(connection, name, **_options())
    with _address_errors("blob"):
        return ContainerClient(_account_url("blob"), name, credential=credential(), **_options())


def forget_clients() -> None:
    """Drop the cached clients, for settings that have changed."""
    for cached in (table, queue, container):
        cached.cache_clear()


@contextlib.contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Raise ``StorageUnavailable`` for every Azure error that leaves the block.

    ``doing`` begins the message: "Reading the checkpoint of activities". Inside the block, catch
    the answers that mean something to the caller: ``ResourceNotFoundError`` (nothing is stored),
    ``ResourceExistsError`` and ``ResourceModifiedError`` (another run was quicker).
    """
    from azure.core.exceptions import AzureError

    try:
        yield
    except AzureError as error:
        status = getattr(error, "status_code", None)
        cause = f"HTTP {status}" if status else type(error).__name__
        advice = (
            f"check the key in {SETTING}, or give the app's identity the roles Storage Blob Data "
            "Owner, Storage Queue Data Contributor and Storage Table Data Contributor on the "
            "storage account"
            if status in (401, 403)
            else f"check whether the storage account that {SETTING} names can be reached"
        )
        raise StorageUnavailable(f"{doing} failed with {cause}: {advice}") from error


def create_on_first_use(create: Callable[[], object], use: Callable[[], Result]) -> Result:
    """Return ``use()``; if its table, queue or container is missing, ``create()`` it and retry.

    The usual call costs one request, the first one of a new account three.
    """
    from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

    try:
        return use()
    except ResourceNotFoundError:
        with contextlib.suppress(ResourceExistsError):  # another instance was quicker
            create()
        return use()
