"""Delivers what the webhook had to spool; ``shared.delivery.retry`` says how a message ends."""

from __future__ import annotations

import azure.functions as func

from shared.connectors.onelogin import SOURCE
from shared.delivery.destination import destination
from shared.delivery.retry import deliver_message
from shared.health import WebhookHealth
from shared.once import once
from shared.settings import read_destination


@once
def _health() -> WebhookHealth:
    return WebhookHealth(SOURCE.name, SOURCE.stream)


def main(message: func.QueueMessage) -> None:
    """Deliver one message of the queue delivery-retry, or put it back."""
    done = deliver_message(message.get_body(), lambda: destination(read_destination()))
    _health().retried(done)
