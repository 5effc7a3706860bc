"""Delivery of one batch: retries, one new sign-in, halving, dead letters."""

from __future__ import annotations

import re
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

# One upload's share of the time that is left: a connection that hangs costs no whole run.
_REQUEST_SECONDS = 60.0
# With less than this left an upload is not begun: its answer would hardly be read.
_LEAST_SECONDS = 0.25
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
# This many records of a run may be bad by themselves; more says that the rule is.
ALWAYS_TOLERATED = 10
_TOLERATED_PERCENT = 1
_ERROR_CODE = re.compile(r"^[A-Za-z]{3,60}(?=:)")


@dataclass(slots=True)
class DeliveryCounters:
    """What became of records, and what it took; bytes are those of bodies as sent."""

    accepted: int = 0
    dead_lettered: int = 0
    bytes_sent: int = 0
    requests: int = 0
    retries: int = 0

    def add(self, other: DeliveryCounters) -> None:
        """Count ``other`` in."""
        self.accepted += other.accepted
        self.dead_lettered += other.dead_lettered
        self.bytes_sent += other.bytes_sent
        self.requests += other.requests
        self.retries += other.retries


@dataclass(slots=True)
class _BatchOutcome:
    """One batch on its way: what is known of its records by index."""

    batch: Batch
    deadline: float
    done: DeliveryCounters = field(default_factory=DeliveryCounters)
    accepted: list[int] = field(default_factory=list)
    refused: dict[int, Refused] = field(default_factory=dict)


class BatchSender:
    """Delivers the batches of one stream's run, or of one webhook request; threads may share it."""

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
        """Bring every record of ``batch`` to Azure Monitor or, refused, to the dead letters.

        ``deadline`` is a reading of the clock (``time.monotonic``). Raises
        ``DestinationUnavailable`` when the time is over, ``DestinationRefused`` for 401 (twice),
        403 and 404, ``RuleRefusesRecords`` when too much is refused, and ``StorageUnavailable``
        when a refused record could not be kept. An error's ``settled`` are the indices of records
        that have arrived nevertheless.
        """
        work = _BatchOutcome(batch, deadline)
        with self._lock:
            self._seen += len(batch.records)
        try:
            self._deliver_parts(work)
            if work.refused:
                refused = [work.refused[index] for index in sorted(work.refused)]
                self._dead_letters.put(batch.stream, refused)
                work.done.dead_lettered = len(refused)
        except (DestinationError, StorageError) as error:
            error.settled = tuple(sorted(work.accepted))
            raise
        finally:
            work.done.accepted = len(work.accepted)
            with self._lock:
                self.counters.add(work.done)
        return work.done

    def _deliver_parts(self, work: _BatchOutcome) -> None:
        """Upload the batch, in halves of halves where it is refused, first records first."""
        parts = [(0, work.batch)]
        while parts:
            start, part = parts.pop()
            try:
                self._upload(part, work)
            except (BatchRefused, BatchTooLarge) as error:
                if len(part.records) == 1:
                    self._refuse(start, part, error, work)
                    continue
                first, second = part.halves()
                parts.append((start + len(first.records), second))
                parts.append((start, first))
            else:
                work.accepted.extend(range(start, start + len(part.records)))
        if work.refused and not work.accepted and len(work.batch.records) > 1:
            raise self._rule_refuses(work)

    def _refuse(
        self, index: int, part: Batch, error: BatchRefused | BatchTooLarge, work: _BatchOutcome
    ) -> None:
        status, reason = (
            (error.status, error.reason) if isinstance(error, BatchRefused) else (413, str(error))
        )
        work.refused[index] = Refused(part.records[0], status, reason)
        with self._lock:
            self._refused += 1
            tolerated = max(self._always_tolerated, self._seen * _TOLERATED_PERCENT // 100)
            too_many = self._refused > tolerated
        if too_many:
            raise self._rule_refuses(work)

    def _rule_refuses(self, work: _BatchOutcome) -> RuleRefusesRecords:
        reasons = (_ERROR_CODE.match(refused.message) for refused in work.refused.values())
        codes = sorted({match.group() for match in reasons if match})
        said = f" Its reason: {', '.join(codes)}." if codes else ""
        return RuleRefusesRecords(
            f"{work.batch.stream}: Azure Monitor refuses more records ({self._refused} of "
            f"{self._seen}) than bad records explain.{said} Compare the stream's declaration in "
            "the data collection rule with the one of this version's template; nothing was "
            "dropped",
            accepted=work.accepted,
            refused=len(work.refused),
        )

    def _upload(self, batch: Batch, work: _BatchOutcome) -> None:
        """One batch, again while that can help and time is left."""
        tries = 0
        signed_in_anew = False
        while True:
            left = work.deadline - self._clock()
            if left < _LEAST_SECONDS:
                raise DestinationUnavailable("No time was left to deliver to Azure Monitor")
            try:
                work.done.requests += 1
                work.done.bytes_sent += self.destination.upload(batch, min(_REQUEST_SECONDS, left))
                return
            except DestinationUnavailable as error:
                # A Retry-After date in the past reads as 0: back off instead.
                pause = exponential_backoff(tries, first=_FIRST_WAIT, cap=_LONGEST_WAIT)
                wait = error.retry_after or jittered(pause)
                if self._clock() + wait + _LEAST_SECONDS > work.deadline:
                    raise
                self._sleep(wait)
            except DestinationRefused as error:
                if error.status != 401 or signed_in_anew:
                    raise
                self.destination.renew_sign_in()
                signed_in_anew = True
            tries += 1
            work.done.retries += 1
