"""Redelivery: deliver messages of the spool, or put them back with exponential backoff.

The host deletes the message that it shows when the function returns, and shows it again when the
function raises or dies. So return once its records are safe: delivered, in the dead letters, or
back in the queue; raise only if the storage account itself fails. A message that is shown a fourth
time becomes a new message before any work is done, and after three such rounds a dead letter: the
host's poison queue would delete it after seven days.

While a destination is down, one message at a time tries it; the others go back unseen. Once it
answers, an invocation takes further messages of the queue along, in uploads of up to 1 MB.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from shared.delivery.batch import packed
from shared.delivery.batch_sender import BatchSender, DeliveryCounters
from shared.delivery.dead_letters import DeadLetters, Refused
from shared.delivery.destinations import SpoolDestination, spool_destination
from shared.delivery.groups import ShownMessage, SpooledMessage, UploadGroups
from shared.delivery.sink import Sink
from shared.delivery.spool import QUEUE, Message, MessageUnreadable, Spool, SpoolBlobGone
from shared.errors import (
    ConnectorError,
    DestinationError,
    DestinationUnavailable,
    RuleRefusesRecords,
    SettingsError,
    StorageError,
    error_boundary,
)
from shared.records.declared import declared_streams
from shared.records.fit import fit_record
from shared.runtime.backoff import exponential_backoff
from shared.telemetry.events import emit

logger = logging.getLogger("connectors.delivery")

# Cap one delivery: waiting is cheaper in the queue than in a worker.
_SECONDS = 30.0
# Take messages along for so long; less than they are invisible for.
_ALONG_SECONDS = 60.0
# Begin no delivery of theirs later than this, or others see them again while it lasts.
_BEGIN_SECONDS = 180.0
_FIRST_DELAY = 60
_LONGEST_DELAY = 15 * 60
# A rule that refuses everything costs tens of uploads a try: try as often as a timer would.
_RULE_PAUSE = 300.0
_TIMES_SHOWN = 3
_ROUNDS = 3
_APART_SECONDS = 2.0
# A message whose records alone blame the rule is tried for about a day.
_MOST_REFUSALS = 96
# With four messages at a time, within the ten connections that a client keeps.
_SETTLING_THREADS = 2


@dataclass(slots=True)
class Redelivered:
    """The counters of one invocation, by stream and connection.

    The stream of unreadable messages is the queue's name.
    """

    streams: dict[tuple[str, str], DeliveryCounters] = field(default_factory=dict)

    def add(self, stream: str, counters: DeliveryCounters, connection: str = "") -> None:
        """Add the counters of one delivery."""
        self.streams.setdefault((stream, connection), DeliveryCounters()).add(counters)

    @property
    def total(self) -> DeliveryCounters:
        """Sum over all streams."""
        total = DeliveryCounters()
        for counters in self.streams.values():
            total.add(counters)
        return total


def deliver_message(
    text: bytes | str,
    sink_of: Callable[[str], Sink],
    *,
    times_shown: int = 1,
    spool: Spool | None = None,
    dead_letters: DeadLetters | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Redelivered:
    """Deliver one message, and others that wait; put back what is left.

    ``sink_of`` returns the sink of a connection; ``times_shown`` is the message's dequeue count.
    Raises ``StorageUnavailable``; the host then shows the message again.
    """
    redelivery = Redelivery(sink_of, spool or Spool(), dead_letters or DeadLetters(), clock, sleep)
    redelivery.run(ShownMessage(text, times_shown))
    return redelivery.done


def delay_after(tries: int) -> int:
    """Return the seconds until a message is retried: 1 minute, doubled each try, at most 15."""
    return int(exponential_backoff(tries, first=_FIRST_DELAY, cap=_LONGEST_DELAY))


class Redelivery:
    """One invocation of ``DeliveryRetry``."""

    def __init__(
        self,
        sink_of: Callable[[str], Sink],
        spool: Spool,
        dead_letters: DeadLetters,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self.done = Redelivered()
        self._sink_of = sink_of
        self._spool = spool
        self._dead_letters = dead_letters
        self._clock = clock
        self._sleep = sleep

    def run(self, shown: ShownMessage) -> None:
        """Deliver the message that the host shows, then take others along if that went well."""
        message = self._read(shown)
        if message is None:
            return
        if shown.times > 1:
            # Messages that were in a process that died are shown together again. Begin at different
            # moments: so the others of them are done before the one that ends the process.
            self._sleep(random.uniform(0, _APART_SECONDS))  # noqa: S311
        if not self._deliver_alone(shown, message):
            return
        try:
            with error_boundary():
                self._take_along()
        except ConnectorError as error:
            # The host's own message is delivered; those taken along are shown again.
            passing = isinstance(error, StorageError)
            _emit_waiting(message.stream, error, logging.WARNING if passing else logging.ERROR)

    def _read(self, shown: ShownMessage) -> Message | None:
        """Parse a message; None where it needs no delivery now, and is settled."""
        try:
            message = Message.read(shown.text)
        except MessageUnreadable as error:
            self._set_aside(shown, f"A message of the queue {QUEUE} cannot be read: {error}")
            return None
        if shown.times > _TIMES_SHOWN:
            if message.rounds >= _ROUNDS:
                times = _TIMES_SHOWN * (_ROUNDS + 1)
                self._set_aside(
                    shown,
                    f"A spooled message ended its function without a result: {times} times",
                    message.connection,
                )
                return None
            self._spool.begin_round(message)
            self._delete(shown)
            return None
        if message.stream not in declared_streams():
            reason = f"this version has no stream {message.stream}"
            self._set_aside(
                shown,
                f"A message of the queue {QUEUE} cannot be read: {reason}",
                message.connection,
            )
            return None
        return message

    def _set_aside(self, shown: ShownMessage, reason: str, connection: str = "") -> None:
        """Make a dead letter of the message as it is: its content may be what ends a process."""
        body = shown.text.encode() if isinstance(shown.text, str) else shown.text
        self._dead_letters.put(QUEUE, [Refused(body, 0, reason)], connection)
        self.done.add(QUEUE, DeliveryCounters(dead_lettered=1))
        self._delete(shown)

    def _delete(self, shown: ShownMessage) -> None:
        if shown.taken is not None:
            self._spool.delete(shown.taken)

    def _deliver_alone(self, shown: ShownMessage, message: Message) -> bool:
        """Deliver one message; return whether that went well."""
        spooled = self._load(shown, message)
        return spooled is not None and self._deliver([spooled])

    def _load(self, shown: ShownMessage, message: Message) -> SpooledMessage | None:
        """Read the records to deliver; None where the message is settled without a delivery."""
        sink, destination, error = self._destination(message)
        if not destination.circuit.allows():
            self._put_back(shown, message)
            return None
        if sink is None:
            destination.circuit.report(well=False)
            _emit_waiting(message.stream, error, logging.ERROR)
            self._put_back(shown, message)
            return None
        try:
            records = self._spool.records(message)
        except MessageUnreadable as unreadable:
            self._set_aside(shown, f"A message of the queue {QUEUE} cannot be read: {unreadable}")
            return None
        except SpoolBlobGone as gone:
            reason = f"The blob of a spooled message is gone: {gone}"
            self._set_aside(shown, reason, message.connection)
            return None
        if not records:
            # No upload tells whether the destination answers: leave the circuit breaker as it is.
            self._delete(shown)
            self._spool.forget(message)
            return None
        declared = sink.declared(message.stream)
        fitted = [fit_record(record, declared) for record in records]
        return SpooledMessage(shown, message, fitted, sink, destination)

    def _destination(
        self, message: Message
    ) -> tuple[Sink | None, SpoolDestination, SettingsError | None]:
        """Return the message's sink, or the error of its settings; and what is known of it."""
        try:
            sink = self._sink_of(message.connection)
        except SettingsError as error:
            return None, self._known(message.connection, message), error
        return sink, self._known(sink, message), None

    def _known(self, sink: object, message: Message) -> SpoolDestination:
        return spool_destination(sink, message.stream, self._clock)

    def _put_back(self, shown: ShownMessage, message: Message) -> None:
        self._spool.put_back(message, delay_after(message.tries))
        self._delete(shown)

    def _deliver(self, group: Sequence[SpooledMessage]) -> bool:
        """Deliver messages of one key together, and settle each; return whether all went well."""
        first = group[0]
        stream, connection = first.message.stream, first.message.connection
        sender = BatchSender(
            first.sink,
            self._dead_letters,
            connection=connection,
            clock=self._clock,
            sleep=self._sleep,
            tally=first.destination.tally,
            max_tries=1,
        )
        records = [record for spooled in group for record in spooled.records]
        settled: set[int] = set()
        failure: ConnectorError | None = None
        deadline = self._clock() + _SECONDS
        for start, batch in packed(stream, records):
            try:
                sender.deliver(batch, deadline)
                settled.update(range(start, start + len(batch.records)))
            except SettingsError as error:
                failure = error
            except (DestinationError, StorageError) as error:
                failure = error
                settled.update(start + index for index in error.settled)
            if failure is not None:
                break
        self.done.add(stream, sender.counters, connection)
        _report(first.destination, failure)
        if failure is not None:
            passing = isinstance(failure, DestinationUnavailable)
            _emit_waiting(stream, failure, logging.WARNING if passing else logging.ERROR)
        self._settle(group, settled, failure)
        return failure is None

    def _settle(
        self, group: Sequence[SpooledMessage], settled: set[int], failure: ConnectorError | None
    ) -> None:
        """Delete delivered messages and their blobs; put back what is left of the others."""
        ends: list[tuple[SpooledMessage, list[bytes]]] = []
        start = 0
        for spooled in group:
            left = [r for i, r in enumerate(spooled.records, start) if i not in settled]
            ends.append((spooled, left))
            start += len(spooled.records)
        blamed = isinstance(failure, RuleRefusesRecords) and len(group) == 1
        if len(ends) == 1:
            self._end(*ends[0], failure, blamed=blamed)
            return
        with ThreadPoolExecutor(_SETTLING_THREADS, thread_name_prefix="spool") as pool:
            list(pool.map(lambda end: self._end(end[0], end[1], failure, blamed=blamed), ends))

    def _end(
        self,
        spooled: SpooledMessage,
        left: list[bytes],
        failure: ConnectorError | None,
        *,
        blamed: bool,
    ) -> None:
        message = spooled.message
        delay = delay_after(message.tries)
        if isinstance(failure, DestinationUnavailable) and failure.retry_after:
            delay = max(delay, int(min(failure.retry_after, _LONGEST_DELAY)))
        whole = bool(left) and len(left) == len(spooled.records)
        if whole and blamed and message.refusals + 1 >= _MOST_REFUSALS:
            reason = "The rule refused every record of a spooled message for a day"
            refused = [Refused(record, 400, reason) for record in left]
            self._dead_letters.put(message.stream, refused, message.connection)
            whole = False
        elif whole:
            self._spool.put_back(replace(message, refusals=message.refusals + blamed), delay)
        elif left:
            self._spool.put(
                message.stream,
                left,
                connection=message.connection,
                tries=message.tries + 1,
                delay=delay,
            )
        self._delete(spooled.shown)
        if not whole:
            self._spool.forget(message)

    def _take_along(self) -> None:
        """Deliver further messages of the queue, in full uploads, until none is visible.

        Put back those whose turn comes too late, after other destinations that did not answer.
        Deliver a message alone if it was shown before: it may have ended the process that had it.
        """
        began = self._clock()
        until = began + _ALONG_SECONDS

        def deliver(group: Sequence[SpooledMessage]) -> bool:
            if self._clock() < began + _BEGIN_SECONDS:
                return self._deliver(group)
            self._settle(group, set(), None)
            return False

        groups = UploadGroups(deliver)
        while self._clock() < until and not groups.failed:
            page = [
                ShownMessage(taken.content, taken.dequeue_count or 1, taken)
                for taken in self._spool.take()
            ]
            if not page:
                break
            alone: list[tuple[ShownMessage, Message]] = []
            for shown in page:
                message = self._read(shown)
                if message is None:
                    continue
                if shown.times > 1 or message.rounds:
                    alone.append((shown, message))
                elif spooled := self._load(shown, message):
                    groups.add(spooled)
            if alone:
                groups.flush()
            random.shuffle(alone)
            for shown, message in alone:
                if self._clock() < until:
                    self._deliver_alone(shown, message)
        groups.flush()


def _report(destination: SpoolDestination, failure: ConnectorError | None) -> None:
    """Tell the circuit breaker how a delivery ended; storage says nothing of the destination."""
    if failure is None or isinstance(failure, StorageError):
        destination.circuit.report(well=True)
    elif isinstance(failure, RuleRefusesRecords):
        destination.circuit.report(well=False, pause=_RULE_PAUSE)
    elif isinstance(failure, DestinationUnavailable) and failure.retry_after:
        pause = min(max(failure.retry_after, _FIRST_DELAY), _LONGEST_DELAY)
        destination.circuit.report(well=False, pause=pause)
    else:
        destination.circuit.report(well=False)


def _emit_waiting(stream: str, error: Exception | None, level: int) -> None:
    emit(
        logger,
        "spool_waits",
        level=level,
        Stream=stream,
        ErrorClass=type(error).__name__,
        Message=str(error),
    )
