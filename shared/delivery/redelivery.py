"""Redelivery: deliver one message of the spool, or put it back with exponential backoff.

The host deletes a message when the function returns, and counts a try when it raises; after five
tries it moves the message to the poison queue. So return once the records are safe: delivered, in
the dead letters, or back in the queue. Raise only if the storage account itself fails.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from shared.delivery.batch import packed
from shared.delivery.batch_sender import BatchSender, DeliveryCounters
from shared.delivery.dead_letters import DeadLetters, Refused
from shared.delivery.sink import Sink
from shared.delivery.spool import QUEUE, Message, MessageUnreadable, Spool
from shared.errors import (
    DestinationError,
    DestinationUnavailable,
    SettingsError,
    StorageError,
)
from shared.runtime.backoff import exponential_backoff
from shared.telemetry.events import emit

logger = logging.getLogger("connectors.delivery")

# Cap one message's delivery: waiting is cheaper in the queue than in a worker.
_SECONDS = 30.0
_FIRST_DELAY = 60
_LONGEST_DELAY = 15 * 60


@dataclass(frozen=True, slots=True)
class Redelivered:
    """The counters of one message; ``stream`` is None if the message could not be read."""

    stream: str | None
    counters: DeliveryCounters


def deliver_message(
    text: bytes | str,
    connect: Callable[[], Sink],
    *,
    spool: Spool | None = None,
    dead_letters: DeadLetters | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Redelivered:
    """Deliver one message, or put back the records that are left.

    Raises ``StorageUnavailable``; the host then shows the message again.
    """
    spool = spool or Spool()
    dead_letters = dead_letters or DeadLetters()
    try:
        message = Message.read(text)
        records = spool.records(message)
    except MessageUnreadable as error:
        body = text.encode() if isinstance(text, str) else text
        reason = f"A message of the queue {QUEUE} cannot be read: {error}"
        dead_letters.put(QUEUE, [Refused(body, 0, reason)])
        return Redelivered(None, DeliveryCounters(dead_lettered=1))
    if records is None:
        logger.warning(
            "%s: the blob of a spooled message is gone: it was delivered", message.stream
        )
        return Redelivered(message.stream, DeliveryCounters())
    try:
        delivery = BatchSender(connect(), dead_letters, clock=clock, sleep=sleep)
        left = _deliver(delivery, message, records, clock() + _SECONDS)
    except SettingsError as error:
        _emit_error(message.stream, error, logging.ERROR)
        spool.put_back(message, delay_after(message.tries))
        return Redelivered(message.stream, DeliveryCounters())
    if left and len(left) == len(records):
        spool.put_back(message, delay_after(message.tries))
        return Redelivered(message.stream, delivery.counters)
    if left:
        tries = message.tries
        spool.put(message.stream, left, tries=tries + 1, delay=delay_after(tries))
    spool.forget(message)
    return Redelivered(message.stream, delivery.counters)


def _emit_error(stream: str, error: Exception, level: int) -> None:
    emit(
        logger,
        "spool_waits",
        level=level,
        Stream=stream,
        ErrorClass=type(error).__name__,
        Message=str(error),
    )


def delay_after(tries: int) -> int:
    """Return the seconds until a message is retried: 1 minute, doubled each try, at most 15."""
    return int(exponential_backoff(tries, first=_FIRST_DELAY, cap=_LONGEST_DELAY))


def _deliver(
    delivery: BatchSender, message: Message, records: list[bytes], deadline: float
) -> list[bytes]:
    """Deliver ``records``; return those that are not delivered yet."""
    for start, batch in packed(message.stream, records):
        try:
            delivery.deliver(batch, deadline)
        except (DestinationError, StorageError) as error:
            level = logging.WARNING if isinstance(error, DestinationUnavailable) else logging.ERROR
            _emit_error(message.stream, error, level)
            settled = set(error.settled)
            mine = [r for index, r in enumerate(batch.records) if index not in settled]
            return mine + records[start + len(batch.records) :]
    return []
