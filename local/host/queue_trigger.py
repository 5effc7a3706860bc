"""Queue triggers, polled as the Functions host polls them.

https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue-trigger
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import ResourceNotFoundError
from azure.functions.queue import QueueMessage

from local.host.function_json import Function, FunctionInvalid, resolved

if TYPE_CHECKING:
    from azure.storage.queue import QueueClient
    from azure.storage.queue import QueueMessage as StoredMessage

logger = logging.getLogger("host")
_KEPT_FAILURES = 20
INVISIBLE_SECONDS = 600  # while a message is worked on


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """host.json's `extensions.queues`, with the host's defaults."""

    batch_size: int = 16
    max_dequeue_count: int = 5
    visibility_seconds: float = 0
    max_polling_seconds: float = 60
    encoding: str = "base64"

    @classmethod
    def read(cls, host: dict[str, Any]) -> QueueOptions:
        """Read the options from the whole of host.json."""
        given = host.get("extensions", {}).get("queues", {})
        return cls(
            batch_size=given.get("batchSize", 16),
            max_dequeue_count=given.get("maxDequeueCount", 5),
            visibility_seconds=_seconds(given.get("visibilityTimeout", "00:00:00")),
            max_polling_seconds=_seconds(given.get("maxPollingInterval", "00:01:00")),
            encoding=given.get("messageEncoding", "base64"),
        )


def _seconds(text: str) -> float:
    hours, minutes, seconds = (float(part) for part in text.split(":"))
    return timedelta(hours=hours, minutes=minutes, seconds=seconds).total_seconds()


class QueueTrigger:
    """A queue and the function that it triggers; ``failures`` are the function's last errors."""

    def __init__(self, function: Function, options: QueueOptions) -> None:
        self.function = function
        self.options = options
        self._name = resolved(str(function.trigger["queueName"]))
        self._connection = str(function.trigger.get("connection") or "AzureWebJobsStorage")
        self.failures: deque[Exception] = deque(maxlen=_KEPT_FAILURES)

    def poll(self) -> int:
        """Take a batch, call the function for each message; return how many there were."""
        with self._queue(self._name) as queue:
            try:
                found = list(
                    queue.receive_messages(
                        max_messages=self.options.batch_size,
                        messages_per_page=min(32, self.options.batch_size),
                        visibility_timeout=INVISIBLE_SECONDS,
                    )
                )
            except ResourceNotFoundError:
                return 0  # the first message creates the queue
            if found:
                with ThreadPoolExecutor(self.options.batch_size) as pool:
                    list(pool.map(lambda message: self._process(queue, message), found))
            return len(found)

    def _process(self, queue: QueueClient, stored: StoredMessage) -> None:
        tries = stored.dequeue_count or 1
        try:
            message = QueueMessage(  # type: ignore[no-untyped-call]  # Microsoft's has no types
                id=stored.id,
                body=self._decoded(stored.content),
                dequeue_count=tries,
                expiration_time=stored.expires_on,
                insertion_time=stored.inserted_on,
                time_next_visible=stored.next_visible_on,
                pop_receipt=stored.pop_receipt,
            )
        except binascii.Error:
            logger.error("A message of %s is not base64: it goes to the poison queue", self._name)
            self._poison(queue, stored)
            return
        done = self.function.invoke(message)
        if done.error:
            self.failures.append(done.error)
        if done.ok:
            queue.delete_message(stored)
        elif tries >= self.options.max_dequeue_count:
            logger.error("A message of %s failed %d times", self._name, tries)
            self._poison(queue, stored)
        else:
            queue.update_message(stored, visibility_timeout=int(self.options.visibility_seconds))

    def _decoded(self, content: str) -> bytes:
        if self.options.encoding == "none":
            return content.encode()
        return base64.b64decode(content, validate=True)

    def _poison(self, queue: QueueClient, stored: StoredMessage) -> None:
        """Move the message as Azure's host does: whatever its time to live, it has 7 days there."""
        with self._queue(f"{self._name}-poison") as poison:
            try:
                poison.send_message(stored.content)
            except ResourceNotFoundError:
                poison.create_queue()
                poison.send_message(stored.content)
        queue.delete_message(stored)

    def _queue(self, name: str) -> AbstractContextManager[QueueClient]:
        """The queue in the account of the binding's connection; the app's may be by identity."""
        from azure.storage.queue import QueueClient

        from shared.azure import storage

        if self._connection == storage.SETTING:
            return nullcontext(storage.queue(name))
        connection = os.environ.get(self._connection)
        if not connection:
            raise FunctionInvalid(
                f"the app setting {self._connection} with its queue's storage is missing"
            )
        return QueueClient.from_connection_string(connection, name)
