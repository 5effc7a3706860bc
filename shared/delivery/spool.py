"""The spool: events that Azure Monitor has not taken yet, stored in the app's storage account.

A message of the queue ``delivery-retry`` is JSON text, ``{"stream", "tries", "gzip"}``: base64 of
gzip of NDJSON, a line an encoded record. A record too large for a message becomes a blob of the
container ``spool``, and its message has ``"blob"``, the blob's name, in place of ``"gzip"``.
Where they are not the default, a message also has ``"connection"`` (its name), ``"rounds"`` (how
often it was put back because its function died) and ``"refusals"`` (how often its records blamed
the rule). Messages never expire, nor do blobs. Messages are plain text: host.json has
``"messageEncoding": "none"``.
"""

from __future__ import annotations

import base64
import binascii
import logging
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

import shared.azure.storage
from shared.azure.storage import Storage, create_on_first_use, storage_errors
from shared.delivery.batch import compress, decompress

if TYPE_CHECKING:
    from azure.storage.queue import QueueMessage as TakenMessage

logger = logging.getLogger("connectors.delivery")

QUEUE = "delivery-retry"
POISON_QUEUE = "delivery-retry-poison"
CONTAINER = "spool"
# https://learn.microsoft.com/azure/storage/queues/storage-queues-introduction: 64 KB a message.
MAX_MESSAGE_BYTES = 65_536
_ENVELOPE_BYTES = 300
_MAX_GZIP_BYTES = (MAX_MESSAGE_BYTES - _ENVELOPE_BYTES) * 3 // 4
_NEVER = -1
# A message's fields that an earlier version does not write, with their defaults.
_OPTIONAL: dict[str, Any] = {"connection": "", "rounds": 0, "refusals": 0}
# Messages taken along are invisible for so long: longer than an invocation works on them.
_TAKEN_SECONDS = 300
# https://learn.microsoft.com/rest/api/storageservices/get-messages: 32 a request.
MOST_TAKEN = 32


class MessageUnreadable(Exception):
    """A message of the queue that this project did not write; ``str()`` is the reason."""


class SpoolBlobGone(Exception):
    """The blob that a message names does not exist; ``str()`` is the blob's name."""


@dataclass(frozen=True, slots=True)
class Message:
    """The content of one message: gzip NDJSON, or the name of the blob that has it.

    ``tries`` counts put-backs, which set the next delay; ``rounds`` and ``refusals`` end a message
    that can never be delivered.
    """

    stream: str
    tries: int = 0
    gzip: bytes | None = None
    blob: str | None = None
    connection: str = ""
    rounds: int = 0
    refusals: int = 0

    def text(self) -> str:
        """Return the message's text for the queue."""
        held = {"blob": self.blob} if self.gzip is None else {"gzip": _base64(self.gzip)}
        more = {name: value for name in _OPTIONAL if (value := getattr(self, name))}
        return orjson.dumps({"stream": self.stream, "tries": self.tries, **more, **held}).decode()

    @classmethod
    def read(cls, text: bytes | str) -> Message:
        """Parse a message's text; raises ``MessageUnreadable``."""
        try:
            fields = orjson.loads(text)
            stream, tries = fields["stream"], fields["tries"]
            more = {name: fields.get(name, default) for name, default in _OPTIONAL.items()}
            kinds = [(stream, str), (tries, int)]
            kinds += [(value, type(_OPTIONAL[name])) for name, value in more.items()]
            if not all(isinstance(value, kind) for value, kind in kinds):
                raise MessageUnreadable("its stream or its tries are not what they should be")
            if "blob" in fields:
                return cls(stream, tries, blob=str(fields["blob"]), **more)
            content = base64.b64decode(fields["gzip"], validate=True)
            return cls(stream, tries, gzip=content, **more)
        except orjson.JSONDecodeError as error:
            raise MessageUnreadable("it is not JSON") from error
        except (KeyError, TypeError) as error:
            raise MessageUnreadable("it is not an object with stream, tries and gzip") from error
        except (binascii.Error, ValueError) as error:
            raise MessageUnreadable("its content is not base64") from error


class Spool:
    """The queue ``delivery-retry`` and the container ``spool`` of the app's storage account."""

    def __init__(self, storage: Storage = shared.azure.storage) -> None:
        self._storage = storage

    def put(
        self,
        stream: str,
        records: Sequence[bytes],
        *,
        connection: str = "",
        tries: int = 0,
        delay: int = 0,
    ) -> None:
        """Store encoded ``records``; on return they are safe. Raises ``StorageUnavailable``.

        ``connection`` is the name of theirs, '' for the one without a name; ``delay`` is in
        seconds, before ``DeliveryRetry`` first sees them.
        """
        for content in _contents(records):
            message = Message(stream, tries, gzip=content, connection=connection)
            if len(content) > _MAX_GZIP_BYTES:
                blob = self._write_blob(stream, content)
                message = Message(stream, tries, blob=blob, connection=connection)
            self.send(message, delay)

    def put_back(self, message: Message, delay: int) -> None:
        """Send the same content as a new message, visible after ``delay`` seconds."""
        self.send(replace(message, tries=message.tries + 1, rounds=0), delay)

    def begin_round(self, message: Message) -> None:
        """Send a message that its function did not survive as a new one, and count that."""
        self.send(replace(message, rounds=message.rounds + 1))

    def take(self) -> list[TakenMessage]:
        """Receive up to 32 visible messages; raises ``StorageUnavailable``."""
        with storage_errors(f"Reading from the queue {QUEUE}"):
            pages = self._storage.queue(QUEUE).receive_messages(
                messages_per_page=MOST_TAKEN,
                max_messages=MOST_TAKEN,
                visibility_timeout=_TAKEN_SECONDS,
            )
            return list(pages)

    def delete(self, taken: TakenMessage) -> None:
        """Delete a message that was taken along; raises ``StorageUnavailable``."""
        from azure.core.exceptions import ResourceNotFoundError

        with storage_errors(f"Deleting from the queue {QUEUE}"):
            try:
                self._storage.queue(QUEUE).delete_message(taken)
            except ResourceNotFoundError:
                # It was visible again, and another invocation has it.
                logger.warning("A spooled message was shown twice: its records may repeat")

    def records(self, message: Message) -> list[bytes]:
        """Return the encoded records of ``message``.

        Raises ``MessageUnreadable``, ``SpoolBlobGone`` and ``StorageUnavailable``.
        """
        content = message.gzip if message.blob is None else self._read_blob(message.blob)
        try:
            return decompress(content or b"").splitlines()
        except (OSError, EOFError, zlib.error) as error:
            raise MessageUnreadable("its content is not gzip") from error

    def forget(self, message: Message) -> None:
        """Delete the blob of a delivered message, if it has one."""
        from azure.core.exceptions import ResourceNotFoundError

        if message.blob is None:
            return
        with storage_errors("Deleting from the blob container spool"):
            try:
                self._storage.container(CONTAINER).delete_blob(message.blob)
            except ResourceNotFoundError:
                return

    def depth(self) -> int:
        """Return the approximate number of messages; raises ``StorageUnavailable``."""
        return self._count(QUEUE)

    def poisoned(self) -> int:
        """Return the approximate number of poison messages; raises ``StorageUnavailable``."""
        return self._count(POISON_QUEUE)

    def _count(self, name: str) -> int:
        from azure.core.exceptions import ResourceNotFoundError

        with storage_errors(f"Looking at the queue {name}"):
            try:
                properties = self._storage.queue(name).get_queue_properties()
            except ResourceNotFoundError:
                return 0
        return properties.approximate_message_count or 0

    def has_blob(self, name: str) -> bool:
        """Whether the blob ``name`` of a message exists; raises ``StorageUnavailable``."""
        with storage_errors("Looking at the blob container spool"):
            return self._storage.container(CONTAINER).get_blob_client(name).exists()

    def send(self, message: Message, delay: int = 0) -> None:
        """Put ``message`` into the queue, visible after ``delay`` seconds.

        Raises ``StorageUnavailable``.
        """
        text = message.text()
        with storage_errors("Writing to the queue delivery-retry"):
            queue = self._storage.queue(QUEUE)
            create_on_first_use(
                queue.create_queue,
                lambda: queue.send_message(text, visibility_timeout=delay, time_to_live=_NEVER),
            )

    def _write_blob(self, stream: str, content: bytes) -> str:
        name = f"{stream}/{uuid.uuid4().hex}.ndjson.gz"
        with storage_errors("Writing to the blob container spool"):
            container = self._storage.container(CONTAINER)
            create_on_first_use(
                container.create_container, lambda: container.upload_blob(name, content)
            )
        return name

    def _read_blob(self, name: str) -> bytes:
        from azure.core.exceptions import ResourceNotFoundError

        with storage_errors("Reading from the blob container spool"):
            try:
                return self._storage.container(CONTAINER).download_blob(name).readall()
            except ResourceNotFoundError as error:
                raise SpoolBlobGone(name) from error


def _contents(records: Sequence[bytes]) -> Iterator[bytes]:
    """Yield ``records`` as gzip NDJSON, each part for one message or of a single record."""
    content = compress(b"\n".join(records))
    if len(content) <= _MAX_GZIP_BYTES or len(records) == 1:
        yield content
        return
    # Estimate the number of parts from the whole's size: bisecting would compress it repeatedly.
    parts = min(len(records), len(content) // _MAX_GZIP_BYTES + 2)
    step = -(-len(records) // parts)
    for start in range(0, len(records), step):
        yield from _contents(records[start : start + step])


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
