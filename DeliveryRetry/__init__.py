"""Delivers spooled events; see ``shared.delivery.redelivery``."""

from __future__ import annotations

import azure.functions as func

from shared.delivery.redelivery import deliver_message
from shared.delivery.sink import sink_of
from shared.health.webhook import report_redelivered


def main(message: func.QueueMessage) -> None:
    """Deliver a message of the queue delivery-retry, and others that wait, or put it back."""
    times_shown = message.dequeue_count or 1
    report_redelivered(deliver_message(message.get_body(), sink_of, times_shown=times_shown))
