"""Sizes of the backlog: spool, poison queue, dead letters, as the storage account reports them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from shared.azure import storage
from shared.azure.storage import storage_errors
from shared.delivery.dead_letter_blobs import iter_blobs
from shared.delivery.redelivery import delay_after
from shared.delivery.spool import POISON_QUEUE, QUEUE, Message, MessageUnreadable

# List one page at most; the count then shows +.
MOST_BLOBS = 5_000
_PEEKED_MESSAGES = 32


@dataclass(frozen=True, slots=True)
class Queue:
    """The spool or the poison queue; ``messages`` None: unknown, storage did not answer.

    ``oldest_seconds`` is the age of the oldest visible message over all its tries; a message that
    waits for its next try is invisible. ``causes`` counts the visible messages by cause.
    """

    messages: int | None
    oldest_seconds: float | None = None
    causes: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True)
class DeadLetterCount:
    """Records of one stream and connection that were refused for one cause.

    ``unacknowledged`` are those of them that no person has marked as looked at.
    """

    stream: str
    cause: str
    records: int
    connection: str = ""
    unacknowledged: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetterStatus:
    """The container dead-letters; ``blobs`` None: unknown; ``more``: some are not counted.

    ``unacknowledged`` counts the records that no person has marked as looked at.
    """

    blobs: int | None
    counts: Sequence[DeadLetterCount] = ()
    more: bool = False
    unacknowledged: int = 0

    @property
    def records(self) -> int:
        """Sum of the counted records."""
        return sum(count.records for count in self.counts)


def spool_queue() -> Queue:
    """Count the messages of the spool; raises ``StorageUnavailable``."""
    return _queue(QUEUE, _age_with_tries)


def poison_queue() -> Queue:
    """Count the messages that the host gave up after 20 tries; raises ``StorageUnavailable``."""
    return _queue(POISON_QUEUE, lambda _, since: _seconds_since(since))


def _queue(name: str, age: Callable[[Message | None, datetime], float]) -> Queue:
    from azure.core.exceptions import ResourceNotFoundError

    with storage_errors(f"Looking at the queue {name}"):
        queue = storage.queue(name)
        try:
            count = queue.get_queue_properties().approximate_message_count or 0
            visible = queue.peek_messages(max_messages=_PEEKED_MESSAGES) if count else []
        except ResourceNotFoundError:
            return Queue(0)
    causes: Counter[str] = Counter()
    oldest: float | None = None
    for peeked in visible:
        message = _read(peeked.content)
        causes[_cause(message)] += 1
        if peeked.inserted_on:
            oldest = max(oldest or 0.0, age(message, peeked.inserted_on))
    return Queue(count, oldest, tuple(causes.most_common()))


def _cause(message: Message | None) -> str:
    if message is None:
        return "unreadable"
    whose = f" of connection {message.connection}" if message.connection else ""
    return f"events of {message.stream}{whose}"


def _read(text: Any) -> Message | None:
    try:
        return Message.read(text)
    except MessageUnreadable:
        return None


def _age_with_tries(message: Message | None, since: datetime) -> float:
    """Add the delays of earlier tries: a message put back is a new one, with a new time."""
    before = sum(delay_after(number) for number in range(message.tries)) if message else 0
    return before + _seconds_since(since)


def _seconds_since(since: datetime) -> float:
    return max((datetime.now(UTC) - since).total_seconds(), 0.0)


def dead_letters() -> DeadLetterStatus:
    """Count dead letters by stream and cause, from metadata; raises ``StorageUnavailable``."""
    counts: Counter[tuple[str, str, str]] = Counter()
    unseen: Counter[tuple[str, str, str]] = Counter()
    blobs = 0
    found = iter_blobs()
    for blob in islice(found, MOST_BLOBS):
        blobs += 1
        for cause, records in blob.causes.items():
            key = (blob.stream, cause, blob.connection)
            counts[key] += records
            unseen[key] += 0 if blob.acknowledged else records
    more = next(found, None) is not None if blobs == MOST_BLOBS else False
    by_cause = [
        DeadLetterCount(stream, cause, records, connection, unseen[stream, cause, connection])
        for (stream, cause, connection), records in counts.most_common()
    ]
    return DeadLetterStatus(blobs, by_cause, more, unseen.total())
