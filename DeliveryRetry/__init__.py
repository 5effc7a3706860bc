"""Delivers spooled events; see ``shared.delivery.redelivery``."""

from __future__ import annotations

import azure.functions as func

from shared.connectors.onelogin import SOURCE
from shared.delivery.redelivery import deliver_message
from shared.delivery.sink import sink_for
from shared.health.webhook import WebhookHealth
from shared.runtime.process import process_singleton
from shared.settings.app import read_destination


@process_singleton
def _health() -> WebhookHealth:
    return WebhookHealth(SOURCE.name, SOURCE.stream)


def main(message: func.QueueMessage) -> None:
    """Deliver one message of the queue delivery-retry, or put it back."""
    done = deliver_message(message.get_body(), lambda: sink_for(read_destination()))
    _health().retried(done)
