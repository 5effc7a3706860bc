"""What the app's storage account tells: checkpoints, spool, poison queue, dead letters."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from shared.azure import storage
from shared.azure.stored import storage_faults
from shared.delivery.dead_letters import CONTAINER
from shared.delivery.redelivery import delay_after
from shared.delivery.spool import POISON_QUEUE, QUEUE, Message, MessageUnreadable
from shared.status.model import DeadLetterCount, DeadLetterStatus, Queue

# One request lists so many blobs; who has more has other worries than their exact number.
MOST_BLOBS = 5_000
_IN_VIEW = 32


def spool_queue() -> Queue:
    """The spool: how many messages, and how long the oldest in view has waited."""
    return _queue(QUEUE, _waited)


def poison_queue() -> Queue:
    """What the host gave up after five tries."""
    return _queue(POISON_QUEUE, lambda _, since: _passed(since))


def _queue(name: str, waited: Callable[[Message | None, datetime], float]) -> Queue:
    from azure.core.exceptions import ResourceNotFoundError

    with storage_faults(f"Looking at the queue {name}"):
        queue = storage.queue(name)
        try:
            count = queue.get_queue_properties().approximate_message_count or 0
            seen = queue.peek_messages(max_messages=_IN_VIEW) if count else []
        except ResourceNotFoundError:
            return Queue(0)
    causes: Counter[str] = Counter()
    oldest: float | None = None
    for found in seen:
        message = _read(found.content)
        causes[f"events of {message.stream}" if message else "unreadable"] += 1
        if found.inserted_on:
            oldest = max(oldest or 0.0, waited(message, found.inserted_on))
    return Queue(count, oldest, tuple(causes.most_common()))


def _read(text: Any) -> Message | None:
    try:
        return Message.read(text)
    except MessageUnreadable:
        return None


def _waited(message: Message | None, since: datetime) -> float:
    """A message that is put back is a new one: its tries tell of the time before."""
    before = sum(delay_after(number) for number in range(message.tries)) if message else 0
    return before + _passed(since)


def _passed(since: datetime) -> float:
    return max((datetime.now(UTC) - since).total_seconds(), 0.0)


def dead_letters() -> DeadLetterStatus:
    """How many records of which stream are there for which cause; their content stays closed."""
    from azure.core.exceptions import ResourceNotFoundError

    counts: Counter[tuple[str, str]] = Counter()
    blobs = 0
    with storage_faults(f"Listing the blob container {CONTAINER}"):
        try:
            listed = storage.container(CONTAINER).list_blobs(include=["metadata"])
            for blob in islice(listed, MOST_BLOBS):
                blobs += 1
                stream = blob.name.partition("/")[0]
                for cause, records in _causes(blob.metadata).items():
                    counts[stream, cause] += records
            more = next(iter(listed), None) is not None if blobs == MOST_BLOBS else False
        except ResourceNotFoundError:
            return DeadLetterStatus(0)
    found = [DeadLetterCount(*key, records) for key, records in counts.most_common()]
    return DeadLetterStatus(blobs, found, more)


def _causes(metadata: Mapping[str, str] | None) -> dict[str, int]:
    try:
        causes = json.loads((metadata or {}).get("causes", ""))
        return {str(cause): int(count) for cause, count in causes.items()}
    except (ValueError, AttributeError):
        # Written by another hand: counted as one, with a cause that says so.
        return {"not counted": 1}
