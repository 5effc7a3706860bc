"""A connection's pause, as a person asked for it: a blob beside the leases.

A blob apart from the lease's, so that a connection is paused also while its poll runs: metadata of
a leased blob are its holder's alone to write. The container's one listing has both.
"""

from __future__ import annotations

import contextlib
from datetime import datetime

from shared.azure import storage
from shared.azure.storage import create_on_first_use, storage_errors
from shared.state.keys import connection_key
from shared.state.lease import CONTAINER, PAUSED


def pause(connector: str, connection: str = "") -> bool:
    """Begin no poll of the connection from now on; False where it is paused already.

    A poll that runs goes on to its end. Raises StorageUnavailable.
    """
    from azure.core.exceptions import ResourceExistsError

    container = storage.container(CONTAINER)
    blob = container.get_blob_client(_name(connector, connection))
    with storage_errors(f"Writing to the blob container {CONTAINER}"):
        try:
            create_on_first_use(
                container.create_container, lambda: blob.upload_blob(b"", overwrite=False)
            )
        except ResourceExistsError:
            return False
    return True


def resume(connector: str, connection: str = "") -> bool:
    """Poll the connection again from the next tick on; False where it is not paused.

    Raises StorageUnavailable.
    """
    from azure.core.exceptions import ResourceNotFoundError

    blob = storage.container(CONTAINER).get_blob_client(_name(connector, connection))
    with storage_errors(f"Writing to the blob container {CONTAINER}"):
        try:
            blob.delete_blob()
        except ResourceNotFoundError:
            return False
    return True


def paused_since(connector: str, connection: str = "") -> datetime | None:
    """Since when the connection is paused, None where it is not; raises StorageUnavailable."""
    from azure.core.exceptions import ResourceNotFoundError

    blob = storage.container(CONTAINER).get_blob_client(_name(connector, connection))
    with (
        storage_errors(f"Reading from the blob container {CONTAINER}"),
        contextlib.suppress(ResourceNotFoundError),
    ):
        return blob.get_blob_properties().last_modified
    return None


def _name(connector: str, connection: str) -> str:
    return PAUSED + connection_key(connector, connection)
