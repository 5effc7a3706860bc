"""Delivers spooled events; see ``shared.delivery.redelivery``."""

from __future__ import annotations

import azure.functions as func

from shared.delivery.redelivery import deliver_message
from shared.delivery.sink import sink_for
from shared.health.webhook import health_of
from shared.settings.app import read_destination


def main(message: func.QueueMessage) -> None:
    """Deliver one message of the queue delivery-retry, or put it back."""
    done = deliver_message(message.get_body(), lambda: sink_for(read_destination()))
    if done.stream:
        health_of(done.stream).retried(done.counters)
