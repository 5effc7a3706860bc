"""From a vendor's request to its answer: 200 exactly when every event is safe.

Safe is: in Azure Monitor, or in the spool; what is no event, in the dead letters. Whatever else
happens, the answer comes within 20 s, and is one that makes the vendor send again.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.delivery.batch import packed
from shared.delivery.batch_sender import BatchSender
from shared.delivery.dead_letters import DeadLetters, Refused
from shared.delivery.sink import Sink, sink_for
from shared.delivery.spool import Spool
from shared.errors import (
    ConnectorError,
    DestinationError,
    RuleRefusesRecords,
    SettingsError,
    StorageError,
    StorageUnavailable,
    UnexpectedError,
    VendorRefused,
    error_boundary,
)
from shared.records.codec import dump_json
from shared.records.encoder import encode
from shared.records.timestamps import utc_now
from shared.runtime.circuit_breaker import CircuitBreaker
from shared.runtime.timeout import call_with_timeout
from shared.settings import key_vault
from shared.settings.app import read_destination
from shared.source.push import EventSource
from shared.telemetry.events import emit
from shared.telemetry.run import RunState, StreamRun
from shared.webhook.auth import authorized
from shared.webhook.body import BodyRefused, elements
from shared.webhook.recent_ids import Claim, RecentIds

logger = logging.getLogger("connectors.webhook")

# Delivery gets five seconds; what it leaves, the storage account gets the next twelve for.
_DELIVERY_SECONDS = 5.0
_GRACE_SECONDS = 0.5
_STORAGE_SECONDS = 12.0
_ANSWER_SECONDS = 18.0
_RETRY_AFTER = {"Retry-After": "60"}
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """What goes back to the sender."""

    status: int
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


_SEND_AGAIN = WebhookResponse(503, "The events could not be stored; send them again", _RETRY_AFTER)


@dataclass(frozen=True, slots=True)
class _Events:
    """What a body holds: events with their ids, and what are none."""

    events: Sequence[dict[str, Any]]
    ids: Sequence[str | None]
    invalid: Sequence[Refused]


class Webhook:
    """One per process and source: it remembers what it has taken, and whether delivery works."""

    def __init__(
        self,
        source: EventSource,
        *,
        connect: Callable[[], Sink] = lambda: sink_for(read_destination()),
        spool: Spool | None = None,
        dead_letters: DeadLetters | None = None,
        circuit: CircuitBreaker | None = None,
        report: Callable[[StreamRun], None] = StreamRun.log,
    ) -> None:
        self._source = source
        self._connect = connect
        self._spool = spool or Spool()
        self._dead_letters = dead_letters or DeadLetters()
        self._circuit = circuit or CircuitBreaker()
        self._report = report
        self._recent = RecentIds()
        self._warned_missing_time = False

    def answer(self, headers: Mapping[str, str], body: bytes) -> WebhookResponse:
        """Take one POST; ``headers`` are asked for by their names in lower case."""
        try:
            with error_boundary():
                return self._answer(headers, body)
        except UnexpectedError as error:
            run = self._run()
            run.status, run.error = RunState.FAILING, error
            self._emit_error("events_not_safe", error)
            self._report(run)
            return _SEND_AGAIN

    def _answer(self, headers: Mapping[str, str], body: bytes) -> WebhookResponse:
        began = time.monotonic()
        try:
            if not key_vault.with_vault_timeout(lambda: self._authorized(headers)):
                self._report(self._wrong_token())
                return self._refused(
                    WebhookResponse(401, "The bearer token is missing or wrong", _CHALLENGE)
                )
            run = self._run()
            run.bytes_read = len(body)
            answer = self._take(self._read(body), run, began + _ANSWER_SECONDS)
            run.duration = time.monotonic() - began
            self._report(run)
            return answer
        except BodyRefused as error:
            return self._refused(WebhookResponse(error.status, str(error)))
        except SettingsError as error:
            emit(logger, "webhook_not_set_up", Connector=self._source.name, Message=str(error))
            return WebhookResponse(503, "The function app is not set up; see its log", _RETRY_AFTER)

    def _run(self) -> StreamRun:
        return StreamRun(self._source.name, self._source.stream, uuid.uuid4().hex, utc_now())

    def _authorized(self, headers: Mapping[str, str]) -> bool:
        header = headers.get("authorization") or ""
        return authorized(header, self._source.token_setting, self._source.tokens)

    def _wrong_token(self) -> StreamRun:
        """Who knows the URL's key and not the token is the vendor with an old one: a failed run."""
        run = self._run()
        run.status = RunState.FAILING
        run.error = VendorRefused(
            f"A request came without the bearer token in {self._source.token_setting}: see that "
            "the sender's Authorization header and that setting hold the same token",
            status=401,
        )
        return run

    def _refused(self, answer: WebhookResponse) -> WebhookResponse:
        emit(
            logger,
            "webhook_refused",
            Connector=self._source.name,
            HttpStatus=answer.status,
            Message=answer.text,
        )
        return answer

    def _read(self, body: bytes) -> _Events:
        events: list[dict[str, Any]] = []
        invalid: list[Refused] = []
        for element in elements(body):
            if (event := self._source.event(element)) is not None:
                events.append(event)
                continue
            try:
                record = dump_json(element)
            except RecursionError as error:
                raise BodyRefused(400, "An element is nested too deeply") from error
            invalid.append(Refused(record, 0, "An element of the body is no object"))
        return _Events(events, [self._source.event_id(event) for event in events], invalid)

    def _take(self, found: _Events, run: StreamRun, deadline: float) -> WebhookResponse:
        connection = key_vault.with_vault_timeout(self._connect)
        claim = self._recent.claim(name for name in found.ids if name is not None)
        safe: list[str | None] = []
        try:
            ids, records = self._encode(found, claim, connection, run)
            delivered = self._deliver(records, connection, run) if records else frozenset()
            safe = [ids[index] for index in delivered]
            left = [record for index, record in enumerate(records) if index not in delivered]
            run.error = self._store(left, found.invalid, deadline)
            if run.error is None:
                safe = ids
        finally:
            self._recent.release(claim, (name for name in safe if name is not None))
        if run.error is None and claim.others and not self._recent.wait(claim, deadline):
            run.error = StorageUnavailable("Another request with the same events did not end well")
        run.records = len(records) if run.error is None else len(delivered)
        run.repeats = len(found.events) - len(records)
        run.dead_lettered += len(found.invalid)
        if left:
            run.status, run.note = RunState.LATE, f"{len(left)} events are in the spool"
        if run.error is None:
            return WebhookResponse(200)
        run.status = RunState.FAILING
        self._emit_error("events_not_safe", run.error)
        return _SEND_AGAIN

    def _emit_error(self, event: str, error: Exception) -> None:
        emit(
            logger,
            event,
            Connector=self._source.name,
            ErrorClass=type(error).__name__,
            Message=str(error),
        )

    def _encode(
        self, found: _Events, claim: Claim, connection: Sink, run: StreamRun
    ) -> tuple[list[str | None], list[bytes]]:
        """The events that are this request's to send, each once, with their ids."""
        declared = connection.declared(self._source.stream)
        received = utc_now()
        ids: list[str | None] = []
        records: list[bytes] = []
        mine = set(claim.mine)
        for name, event in zip(found.ids, found.events, strict=True):
            if name is not None:
                if name not in mine:
                    continue
                mine.remove(name)
            moment = self._source.event_time(event)
            if moment is None:
                self._warn_missing_time()
            elif run.watermark is None or moment > run.watermark:
                run.watermark = moment
            try:
                record = encode(event, time_generated=moment or received, declared=declared)
            except RecursionError as error:
                raise BodyRefused(400, "An event is nested too deeply") from error
            ids.append(name)
            records.append(record)
        return ids, records

    def _warn_missing_time(self) -> None:
        if not self._warned_missing_time:
            self._warned_missing_time = True
            logger.warning(
                "%s: an event has no %s that can be read: its TimeGenerated is the time of "
                "receipt (said once a process)",
                self._source.name,
                self._source.time_field,
            )

    def _deliver(
        self, records: Sequence[bytes], connection: Sink, run: StreamRun
    ) -> frozenset[int]:
        """Try to deliver; returns the indices of records that are safe by that."""
        if not self._circuit.allows():
            return frozenset()
        done: list[int] = []
        delivery = BatchSender(connection, self._dead_letters)

        def work() -> None:
            deadline = time.monotonic() + _DELIVERY_SECONDS
            for start, batch in packed(self._source.stream, records):
                try:
                    delivery.deliver(batch, deadline)
                except (DestinationError, StorageError) as error:
                    done.extend(start + index for index in error.settled)
                    raise
                done.extend(range(start, start + len(batch.records)))

        well = True
        try:
            call_with_timeout(_DELIVERY_SECONDS + _GRACE_SECONDS, work)
        except (ConnectorError, TimeoutError) as error:
            # Neither records that are refused nor a storage fault say that Azure Monitor is down.
            well = isinstance(error, RuleRefusesRecords | StorageError)
            self._emit_error("events_spooled", error)
        self._circuit.report(well=well)
        run.bytes_sent = delivery.counters.bytes_sent
        run.requests = delivery.counters.requests
        run.retries = delivery.counters.retries
        run.dead_lettered = delivery.counters.dead_lettered
        return frozenset(tuple(done))

    def _store(
        self, records: Sequence[bytes], invalid: Sequence[Refused], deadline: float
    ) -> StorageError | None:
        """Bring what is left into the storage account; returns what went wrong."""
        if not records and not invalid:
            return None

        def work() -> None:
            if invalid:
                self._dead_letters.put(self._source.stream, invalid)
            if records:
                self._spool.put(self._source.stream, records)

        seconds = min(_STORAGE_SECONDS, max(1.0, deadline - time.monotonic()))
        try:
            call_with_timeout(seconds, work)
        except StorageError as error:
            return error
        except TimeoutError:
            return StorageUnavailable(f"Storage did not answer within {seconds:.0f} s")
        return None
