"""Poison messages: put back into the spool what the host gave up while storage failed."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from shared.azure import storage
from shared.azure.storage import storage_errors
from shared.delivery.spool import POISON_QUEUE, Message, MessageUnreadable, Spool

logger = logging.getLogger("connectors.status")

# Visibility timeout of a poison message while it is put back into the spool.
_HIDDEN_SECONDS = 60
_PAGE_MESSAGES = 32


class PoisonRedrive:
    """One redrive of the poison queue: what was put back, and why the rest was left."""

    def __init__(self, deadline: float) -> None:
        self.sent = 0
        self.reasons: Counter[str] = Counter()
        self._deadline = deadline

    def run(self) -> None:
        """Move poison messages to the spool, from where ``DeliveryRetry`` delivers them at once.

        Raises ``StorageUnavailable``.
        """
        from azure.core.exceptions import ResourceNotFoundError

        spool = Spool()
        with storage_errors(f"Reading from the queue {POISON_QUEUE}"):
            queue = storage.queue(POISON_QUEUE)
            try:
                pages = queue.receive_messages(
                    messages_per_page=_PAGE_MESSAGES, visibility_timeout=_HIDDEN_SECONDS
                )
                for queued in pages:
                    self._put_back(spool, queued, queue.delete_message)
                    if time.monotonic() >= self._deadline:
                        break
            except ResourceNotFoundError:
                logger.debug("There is no queue %s: no message was ever poison", POISON_QUEUE)

    def _put_back(self, spool: Spool, queued: Any, delete: Callable[[Any], None]) -> None:
        try:
            message = Message.read(queued.content)
        except MessageUnreadable:
            self.reasons["they are no messages of the spool"] += 1
            return
        spool.put_back(message, 0)
        delete(queued)
        self.sent += 1
