"""Polls one connection a message; see ``shared.polling.handed_out``."""

from __future__ import annotations

import time
from datetime import UTC

import azure.functions as func

from shared.polling.handed_out import Taken, poll_handed_out
from shared.polling.pool import on_poll_pool


async def main(message: func.QueueMessage) -> None:
    """Poll the connection that a message of the queue connection-polls names."""
    inserted = message.insertion_time  # in UTC, of which a host need not say so
    taken = Taken(
        message.get_body(),
        message.id or "",
        inserted.replace(tzinfo=UTC) if inserted else None,
        message.dequeue_count or 1,
        time.monotonic(),
    )
    await on_poll_pool(lambda: poll_handed_out(taken))
