"""The lease under which a connection is polled, unless a person has paused it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from shared.state.lease import PollLease, held_lease
from shared.state.pause import paused_since
from shared.telemetry.events import emit

logger = logging.getLogger("connectors.polling")


@contextlib.contextmanager
def lease_to_poll(connector: str, name: str) -> Iterator[PollLease | None]:
    """Hold the connection's lease; None where another run holds it or it is paused, as is logged.

    Raises StorageUnavailable.
    """
    with held_lease(connector, name) as held:
        lease = held
        if held is None:
            emit(logger, "connection_held", Connector=connector, Connection=name)
        elif paused_since(connector, name):
            emit(logger, "connection_paused", Connector=connector, Connection=name)
            lease = None
        yield lease
