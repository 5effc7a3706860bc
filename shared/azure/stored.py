"""Queues and blob containers: made on first use, and one error for all their faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

from shared.errors import SettingsError, StorageUnavailable

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient
    from azure.storage.queue import QueueClient

Result = TypeVar("Result")


class Storage(Protocol):
    """Where clients come from: the module ``shared.azure.storage``."""

    def queue(self, name: str, /) -> QueueClient:
        """A client of one queue."""
        ...

    def container(self, name: str, /) -> ContainerClient:
        """A client of one blob container."""
        ...


@contextmanager
def storage_faults(doing: str) -> Iterator[None]:
    """A fault of the storage account becomes ``StorageUnavailable``, with what to check."""
    from azure.core.exceptions import AzureError, HttpResponseError

    try:
        yield
    except ValueError as error:
        problem = "AzureWebJobsStorage is no connection string: copy it again from the portal"
        raise SettingsError([problem]) from error
    except AzureError as error:
        status = error.status_code if isinstance(error, HttpResponseError) else None
        cause = f"HTTP {status}" if status else type(error).__name__
        hint = (
            " (the app's identity needs Storage Blob Data Owner and Storage Queue Data Contributor)"
            if status in (401, 403)
            else ""
        )
        raise StorageUnavailable(
            f"{doing} failed with {cause}; check AzureWebJobsStorage{hint}"
        ) from error


def create_on_first_use(make: Callable[[], object], use: Callable[[], Result]) -> Result:
    """``use()``; where its queue or container does not exist yet, ``make()`` and once more.

    So the usual call costs one request, and only the very first one three.
    """
    from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

    try:
        return use()
    except ResourceNotFoundError:
        # Another instance may have been quicker, which is as good.
        with suppress(ResourceExistsError):
            make()
        return use()


@contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Azure's storage errors as this project's own; a conflict or a missing row passes through."""
    from azure.core.exceptions import (
        AzureError,
        ResourceExistsError,
        ResourceModifiedError,
        ResourceNotFoundError,
    )

    try:
        yield
    except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
        raise
    except AzureError as error:
        status = getattr(error, "status_code", None)
        cure = (
            "give the app's identity the roles Storage Table Data Contributor, Storage Queue Data "
            "Contributor and Storage Blob Data Owner on the storage account"
            if status in (401, 403)
            else "see whether the storage account that AzureWebJobsStorage names can be reached"
        )
        why = f"HTTP {status}" if status else type(error).__name__
        raise StorageUnavailable(f"Storage did not answer while {doing} ({why}): {cure}") from error
