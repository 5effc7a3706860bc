"""The lease under which a connection is polled, unless a person has paused it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from shared.azure import storage
from shared.state.checkpoint import TABLE
from shared.state.lease import CONTAINER, PollLease, held_lease
from shared.state.pause import paused_since
from shared.telemetry.events import emit

logger = logging.getLogger("connectors.polling")


@contextlib.contextmanager
def lease_to_poll(connector: str, name: str) -> Iterator[PollLease | None]:
    """Hold the connection's lease; None where another run holds it or it is paused, as is logged.

    In a new process, import Azure's client of tables while Storage answers for the lease. Raises
    StorageUnavailable.
    """
    # The client of blobs first: two threads that import azure.core at once may each see half of it.
    storage.container(CONTAINER)
    with contextlib.ExitStack() as until_polled:
        with ThreadPoolExecutor(1, thread_name_prefix="tables") as beside:
            beside.submit(storage.table, TABLE)
            lease = until_polled.enter_context(held_lease(connector, name))
            paused = lease is not None and paused_since(connector, name)
        if lease is None:
            emit(logger, "connection_held", Connector=connector, Connection=name)
        if paused:
            emit(logger, "connection_paused", Connector=connector, Connection=name)
        yield None if paused else lease
