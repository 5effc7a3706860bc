"""Deliver a batch: retries with backoff, one renewed sign-in, halving, dead letters."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.delivery.batch import Batch
from shared.delivery.dead_letters import DeadLetterSink, Refused
from shared.delivery.sink import Sink
from shared.errors import (
    BatchRefused,
    BatchTooLarge,
    DestinationError,
    DestinationRefused,
    DestinationUnavailable,
    RuleRefusesRecords,
    StorageError,
)
from shared.runtime.backoff import exponential_backoff, jittered

# Cap one upload, so that a connection that hangs does not use up the whole run.
_REQUEST_SECONDS = 60.0
# Begin no upload with less time left than this: its response would come too late.
_LEAST_SECONDS = 0.25
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
# Tolerate so many refused records a run, or 1 % if that is more: the rule causes any more.
ALWAYS_TOLERATED = 10
_TOLERATED_PERCENT = 1


@dataclass(slots=True)
class DeliveryCounters:
    """Counts of records and requests; ``bytes_sent`` counts bodies as sent."""

    accepted: int = 0
    dead_lettered: int = 0
    bytes_sent: int = 0
    requests: int = 0
    retries: int = 0

    def add(self, other: DeliveryCounters) -> None:
        """Add the counts of ``other``."""
        self.accepted += other.accepted
        self.dead_lettered += other.dead_lettered
        self.bytes_sent += other.bytes_sent
        self.requests += other.requests
        self.retries += other.retries


@dataclass(slots=True)
class _BatchOutcome:
    """The progress of one batch: accepted and refused records by index, and its counters."""

    batch: Batch
    deadline: float
    counters: DeliveryCounters = field(default_factory=DeliveryCounters)
    accepted: list[int] = field(default_factory=list)
    refused: dict[int, Refused] = field(default_factory=dict)


class BatchSender:
    """Deliver the batches of one stream's run, or of one webhook request; thread-safe.

    ``clock`` and ``sleep`` count seconds; ``always_tolerated`` is the number of refused records
    that never count as a fault of the rule.
    """

    def __init__(
        self,
        destination: Sink,
        dead_letters: DeadLetterSink,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        always_tolerated: int = ALWAYS_TOLERATED,
    ) -> None:
        self.destination = destination
        self._always_tolerated = always_tolerated
        self.counters = DeliveryCounters()
        self._dead_letters = dead_letters
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._seen = 0
        self._refused = 0

    def deliver(self, batch: Batch, deadline: float) -> DeliveryCounters:
        """Deliver every record of ``batch`` to the sink, and refused records to the dead letters.

        ``deadline`` is a reading of the clock (``time.monotonic``). Raises
        ``DestinationUnavailable`` after the deadline, ``DestinationRefused`` for 401 (twice), 403
        and 404, ``RuleRefusesRecords`` for too many refused records, and ``StorageUnavailable`` if
        a dead letter could not be written. An error's ``settled`` has the indices of the records
        that have arrived nevertheless.
        """
        outcome = _BatchOutcome(batch, deadline)
        with self._lock:
            self._seen += len(batch.records)
        try:
            self._deliver_parts(outcome)
            if outcome.refused:
                refused = [outcome.refused[index] for index in sorted(outcome.refused)]
                self._dead_letters.put(batch.stream, refused)
                outcome.counters.dead_lettered = len(refused)
        except (DestinationError, StorageError) as error:
            error.settled = tuple(sorted(outcome.accepted))
            raise
        finally:
            outcome.counters.accepted = len(outcome.accepted)
            with self._lock:
                self.counters.add(outcome.counters)
        return outcome.counters

    def _deliver_parts(self, outcome: _BatchOutcome) -> None:
        """Upload the batch; bisect what is refused or too large, first records first."""
        parts = [(0, outcome.batch)]
        while parts:
            start, part = parts.pop()
            try:
                self._upload(part, outcome)
            except (BatchRefused, BatchTooLarge) as error:
                if len(part.records) == 1:
                    self._refuse(start, part, error, outcome)
                    continue
                first, second = part.halves()
                parts.append((start + len(first.records), second))
                parts.append((start, first))
            else:
                outcome.accepted.extend(range(start, start + len(part.records)))
        if outcome.refused and not outcome.accepted and len(outcome.batch.records) > 1:
            raise self._rule_refuses(outcome)

    def _refuse(
        self, index: int, part: Batch, error: BatchRefused | BatchTooLarge, outcome: _BatchOutcome
    ) -> None:
        status, reason = (
            (error.status, error.reason) if isinstance(error, BatchRefused) else (413, str(error))
        )
        outcome.refused[index] = Refused(part.records[0], status, reason)
        with self._lock:
            self._refused += 1
            tolerated = max(self._always_tolerated, self._seen * _TOLERATED_PERCENT // 100)
            too_many = self._refused > tolerated
        if too_many:
            raise self._rule_refuses(outcome)

    def _rule_refuses(self, outcome: _BatchOutcome) -> RuleRefusesRecords:
        codes = sorted({refused.code for refused in outcome.refused.values()} - {""})
        reason = f" Its reason: {', '.join(codes)}." if codes else ""
        return RuleRefusesRecords(
            f"{outcome.batch.stream}: Azure Monitor refuses more records ({self._refused} of "
            f"{self._seen}) than bad records explain.{reason} Compare the stream's declaration in "
            "the data collection rule with the one of this version's template; nothing was "
            "dropped",
            accepted=outcome.accepted,
            refused=len(outcome.refused),
        )

    def _upload(self, batch: Batch, outcome: _BatchOutcome) -> None:
        """Upload ``batch``; retry while a retry can help and time is left."""
        tries = 0
        renewed_sign_in = False
        while True:
            left = outcome.deadline - self._clock()
            if left < _LEAST_SECONDS:
                raise DestinationUnavailable("No time was left to deliver to Azure Monitor")
            try:
                outcome.counters.requests += 1
                outcome.counters.bytes_sent += self.destination.upload(
                    batch, min(_REQUEST_SECONDS, left)
                )
                return
            except DestinationUnavailable as error:
                # A Retry-After date in the past reads as 0: back off instead.
                pause = exponential_backoff(tries, first=_FIRST_WAIT, cap=_LONGEST_WAIT)
                wait = error.retry_after or jittered(pause)
                if self._clock() + wait + _LEAST_SECONDS > outcome.deadline:
                    raise
                self._sleep(wait)
            except DestinationRefused as error:
                if error.status != 401 or renewed_sign_in:
                    raise
                self.destination.renew_sign_in()
                renewed_sign_in = True
            tries += 1
            outcome.counters.retries += 1
