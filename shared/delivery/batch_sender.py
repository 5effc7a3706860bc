"""Deliver a batch: retries with backoff, one renewed sign-in, bisection, dead letters."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.delivery.batch import Batch
from shared.delivery.dead_letters import DeadLetterSink, Refused
from shared.delivery.refusals import RefusalTally
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
_Refusal = BatchRefused | BatchTooLarge


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


@dataclass(frozen=True, slots=True)
class _Part:
    """Consecutive records of a batch from index ``start``; ``error`` where they were refused."""

    start: int
    batch: Batch
    error: _Refusal | None = None

    def halves(self) -> tuple[_Part, _Part]:
        """Split by number of records, as untried parts."""
        first, second = self.batch.halves()
        return _Part(self.start, first), _Part(self.start + len(first.records), second)


class BatchSender:
    """Deliver the batches of one stream's run, or of one webhook request; thread-safe.

    ``clock`` and ``sleep`` count seconds; ``tally`` decides when refused records mean that the rule
    is wrong, and is the run's own by default; ``max_tries`` limits the tries of one upload, which
    the deadline alone limits by default.
    """

    def __init__(
        self,
        destination: Sink,
        dead_letters: DeadLetterSink,
        *,
        connection: str = "",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        tally: RefusalTally | None = None,
        max_tries: int | None = None,
    ) -> None:
        self.destination = destination
        self.counters = DeliveryCounters()
        self._dead_letters = dead_letters
        self._connection = connection
        self._clock = clock
        self._sleep = sleep
        self._tally = tally or RefusalTally()
        self._max_tries = max_tries
        self._lock = threading.Lock()

    def deliver(self, batch: Batch, deadline: float) -> DeliveryCounters:
        """Deliver every record of ``batch`` to the sink, and refused records to the dead letters.

        ``deadline`` is a reading of the clock (``time.monotonic``). Raises
        ``DestinationUnavailable`` after the deadline, ``DestinationRefused`` for 401 (twice), 403
        and 404, ``RuleRefusesRecords`` where the tally blames the rule, and ``StorageUnavailable``
        if a dead letter could not be written. An error's ``settled`` has the indices of the records
        that have arrived nevertheless.
        """
        outcome = _BatchOutcome(batch, deadline)
        try:
            self._deliver_parts(outcome)
            if outcome.refused:
                refused = [outcome.refused[index] for index in sorted(outcome.refused)]
                self._dead_letters.put(batch.stream, refused, self._connection)
                outcome.counters.dead_lettered = len(refused)
        except (DestinationError, StorageError) as error:
            error.settled = tuple(sorted(outcome.accepted))
            raise
        finally:
            outcome.counters.accepted = len(outcome.accepted)
            with self._lock:
                self.counters.add(outcome.counters)
        return outcome.counters

    def deliver_whole(self, batch: Batch, deadline: float) -> bool:
        """Deliver ``batch`` as it is; return False where Azure Monitor refuses it with 400 or 413.

        Raises what ``deliver`` raises for a sink that is unavailable or refuses the app.
        """
        outcome = _BatchOutcome(batch, deadline)
        try:
            return self._try(_Part(0, batch), outcome).error is None
        finally:
            outcome.counters.accepted = len(outcome.accepted)
            with self._lock:
                self.counters.add(outcome.counters)

    def _deliver_parts(self, outcome: _BatchOutcome) -> None:
        """Upload the batch; bisect what is refused or too large, first records first."""
        blamed_before = self._tally.blames_rule
        parts = [_Part(0, outcome.batch)]
        while parts:
            part = parts.pop()
            if part.error is None:
                part = self._try(part, outcome)
            if part.error is None:
                continue
            if len(part.batch.records) == 1:
                self._refuse(part, part.error, outcome)
                if self._tally.suspects_rule:
                    parts = self._second_opinion(parts, outcome)
                continue
            if self._tally.blames_rule and not blamed_before:
                # Another batch of the run came to the verdict: do not bisect this one for it.
                raise self._rule_refuses(outcome)
            first, second = part.halves()
            parts += [second, first]

    def _try(self, part: _Part, outcome: _BatchOutcome) -> _Part:
        """Upload ``part``; return it with the error of a 400 or 413, if it is refused."""
        try:
            self._upload(part.batch, outcome)
        except (BatchRefused, BatchTooLarge) as error:
            return _Part(part.start, part.batch, error)
        count = len(part.batch.records)
        outcome.accepted.extend(range(part.start, part.start + count))
        self._tally.accept(count)
        return part

    def _refuse(self, part: _Part, error: _Refusal, outcome: _BatchOutcome) -> None:
        status, reason = (
            (error.status, error.reason) if isinstance(error, BatchRefused) else (413, str(error))
        )
        outcome.refused[part.start] = Refused(part.batch.records[0], status, reason)
        self._tally.refuse()

    def _second_opinion(self, parts: list[_Part], outcome: _BatchOutcome) -> list[_Part]:
        """Upload the parts that bisection left for later, until one is accepted.

        Bad records may stand together at the beginning of a batch. Return the parts that are left;
        raises ``RuleRefusesRecords`` where none is accepted.
        """
        left: list[_Part] = []
        for part in parts:
            tried = part
            if part.error is None and self._tally.suspects_rule:
                tried = self._try(part, outcome)
                if tried.error is None:
                    continue
            left.append(tried)
        if self._tally.suspects_rule:
            self._tally.blame_rule()
            raise self._rule_refuses(outcome)
        return left

    def _rule_refuses(self, outcome: _BatchOutcome) -> RuleRefusesRecords:
        codes = sorted({refused.code for refused in outcome.refused.values()} - {""})
        reason = f" Its reason: {', '.join(codes)}." if codes else ""
        return RuleRefusesRecords(
            f"{outcome.batch.stream}: Azure Monitor refuses more records ({self._tally}) than bad "
            f"records explain.{reason} Compare the stream's declaration in the data collection "
            "rule with the one of this version's template; nothing was dropped",
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
                if self._max_tries is not None and tries + 1 >= self._max_tries:
                    raise
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
