"""Respond to a vendor's request: 200 exactly when every event is safe.

An event is safe in Azure Monitor or in the spool; an element that is no event, in the dead letters.
Otherwise respond with a status that makes the vendor send again. Respond within 20 s always.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.connections.opening import advice_for
from shared.delivery.batch import packed
from shared.delivery.batch_sender import BatchSender
from shared.delivery.dead_letters import DeadLetters, Refused
from shared.delivery.destinations import spool_destination
from shared.delivery.sink import Sink, sink_of
from shared.delivery.spool import Spool
from shared.errors import (
    ConnectorError,
    DestinationError,
    PostRefused,
    RuleRefusesRecords,
    SettingsError,
    StorageError,
    StorageUnavailable,
    UnexpectedError,
    VendorRefused,
    error_boundary,
)
from shared.records.timestamps import utc_now
from shared.runtime.circuit_breaker import CircuitBreaker
from shared.runtime.timeout import call_with_timeout
from shared.runtime.turns import TURNS
from shared.source.connector import Connector
from shared.source.push import EventFormat
from shared.telemetry.events import emit
from shared.telemetry.run import RunCounters, RunResult, RunState
from shared.webhook.auth import connection_of
from shared.webhook.body import BodyRefused
from shared.webhook.events import Events, read_events
from shared.webhook.large_posts import LargePosts, TooManyLargePosts
from shared.webhook.recent_ids import Claim, RecentIds

logger = logging.getLogger("connectors.webhook")

# Seconds for delivery, then for storing undelivered events, within the 20 s the vendor waits.
_DELIVERY_SECONDS = 5.0
_GRACE_SECONDS = 0.5
_STORAGE_SECONDS = 12.0
_ANSWER_SECONDS = 18.0
_RETRY_AFTER = {"Retry-After": "60"}
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """The HTTP response to the sender."""

    status: int
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


_BUSY = WebhookResponse(503, "Other large posts are in work; send this again", {"Retry-After": "5"})
_SEND_AGAIN = WebhookResponse(503, "The events could not be stored; send them again", _RETRY_AFTER)


class Webhook:
    """A connector's webhook, one per process: it keeps recent ids and the circuit breaker.

    A post's token tells its ``connection``: each further one has a webhook of the same kind, so
    that neither an outage of its destination nor its events' ids concern another.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        connection: str = "",
        connect: Callable[[], Sink] | None = None,
        spool: Spool | None = None,
        dead_letters: DeadLetters | None = None,
        circuit: CircuitBreaker | None = None,
        report: Callable[[RunResult], None] = RunResult.log,
    ) -> None:
        self._connector = connector
        self._format = _format_of(connector)
        self._stream = self._format.stream
        self._connection = connection
        self._connect = connect or (lambda: sink_of(connection))
        self._others: dict[str, Webhook] = {}
        self._making = threading.Lock()
        self._spool = spool or Spool()
        self._dead_letters = dead_letters or DeadLetters()
        self._circuit = circuit or CircuitBreaker()
        self._report = report
        self._recent = RecentIds()
        self._large = LargePosts()
        self._warned_missing_time = False

    def answer(self, headers: Mapping[str, str], body: bytes) -> WebhookResponse:
        """Respond to a POST; ``headers`` has lower-case names. Raises nothing."""
        # The sender waits for the token's check too: it may ask the vault.
        began = time.monotonic()
        try:
            with TURNS.answering(), error_boundary():
                return self._answer(headers, body, began)
        except UnexpectedError as error:
            self._emit_error("events_not_safe", error)
            self._report(self._counters(began).result(RunState.FAILING, error=error))
            return _SEND_AGAIN

    def _answer(self, headers: Mapping[str, str], body: bytes, began: float) -> WebhookResponse:
        try:
            name = connection_of(headers.get("authorization") or "", self._connector)
            if name is None:
                counters = self._counters(began)
                self._report(counters.result(RunState.FAILING, error=self._wrong_token()))
                return self._refused(
                    WebhookResponse(401, "The bearer token is missing or wrong", _CHALLENGE)
                )
            return self._of(name)._take(body, began)
        except SettingsError as error:
            emit(logger, "webhook_not_set_up", Connector=self._connector.name, Message=str(error))
            return WebhookResponse(503, "The function app is not set up; see its log", _RETRY_AFTER)

    def _of(self, name: str) -> Webhook:
        """The webhook of a connection; all of a process share the room for large posts."""
        if name == self._connection:
            return self
        with self._making:
            if name not in self._others:
                other = Webhook(
                    self._connector,
                    connection=name,
                    spool=self._spool,
                    dead_letters=self._dead_letters,
                    report=self._report,
                )
                other._large = self._large
                self._others[name] = other
            return self._others[name]

    def _take(self, body: bytes, began: float) -> WebhookResponse:
        """Respond to a post of this connection. Raises SettingsError."""
        counters = self._counters(began)
        counters.bytes_read = len(body)
        try:
            with self._large.unpacked(body) as text:
                result, summary = self._store_events(text, counters, began + _ANSWER_SECONDS)
            self._report(result)
            return WebhookResponse(200, summary) if result.error is None else _SEND_AGAIN
        except BodyRefused as error:
            return self._body_refused(error, counters)
        except TooManyLargePosts:
            return self._refused(_BUSY)

    def _counters(self, began: float) -> RunCounters:
        return RunCounters(
            self._connector.name,
            self._stream.name,
            uuid.uuid4().hex,
            utc_now(),
            began,
            connection=self._connection,
        )

    def _wrong_token(self) -> VendorRefused:
        """Report a wrong token as a failed run.

        A sender that knows the function key is most likely the vendor with an old token.
        """
        return VendorRefused(
            "A request came without the bearer token: "
            f"{advice_for(self._connector).filled(self._format.refusal_advice)}",
            status=401,
        )

    def _refused(self, answer: WebhookResponse) -> WebhookResponse:
        emit(
            logger,
            "webhook_refused",
            Connector=self._connector.name,
            HttpStatus=answer.status,
            Message=answer.text,
        )
        return answer

    def _body_refused(self, refused: BodyRefused, counters: RunCounters) -> WebhookResponse:
        """Keep a body that cannot be read in the dead letters, and report a failed run."""
        note = ""
        if refused.body:
            letter = Refused(refused.body, 0, str(refused))
            error = self._in_storage_time(
                lambda: self._dead_letters.put_once(self._stream.name, [letter], self._connection),
                counters.began + _ANSWER_SECONDS,
            )
            if error is not None:
                self._emit_error("events_not_safe", error)
                self._report(counters.result(RunState.FAILING, error=error))
                return _SEND_AGAIN
            note = "; the body is kept in dead-letters"
            counters.dead_lettered = 1
        reason = f"{self._connector.name} posted a body that was not taken: {refused}{note}"
        self._report(counters.result(RunState.FAILING, error=PostRefused(reason)))
        return self._refused(WebhookResponse(refused.status, str(refused)))

    def _store_events(
        self, text: bytes, counters: RunCounters, deadline: float
    ) -> tuple[RunResult, str]:
        """Deliver, else spool, the events; the result's error says that not all are safe.

        The text is the counts, for a person who posts: "3 delivered, 0 repeats, 1 set aside: why".

        Raises ``BodyRefused`` and ``SettingsError``.
        """
        sink = self._connect()
        found = read_events(text, self._format, sink.declared(self._stream.name), self._connection)
        counters.watermark = found.newest
        if found.undated:
            self._warn_missing_time()
        claim = self._recent.claim(name for name in found.ids if name is not None)
        safe: list[int] = []
        try:
            claimed = _claimed(found, claim)
            records = [found.records[index] for index in claimed]
            delivered = self._deliver(records, sink, counters) if records else frozenset()
            safe = [claimed[index] for index in delivered]
            left = [record for index, record in enumerate(records) if index not in delivered]
            error = self._spool_rest(left, found.invalid, deadline)
            if error is None:
                safe = claimed
        finally:
            names = (found.ids[index] for index in safe)
            self._recent.release(claim, (name for name in names if name is not None))
        if error is None and claim.others and not self._recent.wait(claim, deadline):
            error = StorageUnavailable("Another request with the same events did not end well")
        # Also where not all are safe: sent again, those that are count as repeats.
        counters.records = len(safe)
        counters.hours = Counter(found.hours[index] for index in safe)
        counters.repeats = len(found.records) - len(records)
        refused = counters.dead_lettered
        counters.dead_lettered += len(found.invalid)
        if error is not None:
            self._emit_error("events_not_safe", error)
            return counters.result(RunState.FAILING, error=error), ""
        summary = f"{len(delivered) - refused} delivered, {counters.repeats} repeats"
        if left:
            summary += f", {len(left)} in the spool"
        summary += f", {counters.dead_lettered} set aside"
        reasons = dict.fromkeys(each.message for each in found.invalid)
        if refused:
            reasons["Azure Monitor refuses them"] = None
        if reasons:
            summary += f": {'; '.join(reasons)}"
        if left:
            note = f"{len(left)} events are in the spool"
            return counters.result(RunState.LATE, note=note), summary
        return counters.result(RunState.OK), summary

    def _emit_error(self, event: str, error: Exception) -> None:
        emit(
            logger,
            event,
            Connector=self._connector.name,
            ErrorClass=type(error).__name__,
            Message=str(error),
        )

    def _warn_missing_time(self) -> None:
        if not self._warned_missing_time:
            self._warned_missing_time = True
            logger.warning(
                "%s: an event has no %s that can be read: its TimeGenerated is the time of "
                "receipt (said once a process)",
                self._connector.name,
                self._stream.event_time,
            )

    def _deliver(
        self, records: Sequence[bytes], sink: Sink, counters: RunCounters
    ) -> frozenset[int]:
        """Try to deliver; return the indices of records that are safe by that."""
        if not self._circuit.allows():
            return frozenset()
        done: list[int] = []
        # Count refused events over all posts: a post alone is too small to blame the rule.
        tally = spool_destination(sink, self._stream.name).tally
        sender = BatchSender(sink, self._dead_letters, connection=self._connection, tally=tally)

        def work() -> None:
            deadline = time.monotonic() + _DELIVERY_SECONDS
            for start, batch in packed(self._stream.name, records):
                try:
                    sender.deliver(batch, deadline)
                except (DestinationError, StorageError) as error:
                    done.extend(start + index for index in error.settled)
                    raise
                done.extend(range(start, start + len(batch.records)))

        well = True
        try:
            call_with_timeout(_DELIVERY_SECONDS + _GRACE_SECONDS, work)
        except (ConnectorError, TimeoutError) as error:
            # Refused records and storage errors do not mean that Azure Monitor is down.
            well = isinstance(error, RuleRefusesRecords | StorageError)
            self._emit_error("events_spooled", error)
        self._circuit.report(well=well)
        counters.bytes_sent = sender.counters.bytes_sent
        counters.requests = sender.counters.requests
        counters.retries = sender.counters.retries
        counters.dead_lettered = sender.counters.dead_lettered
        return frozenset(tuple(done))

    def _spool_rest(
        self, records: Sequence[bytes], invalid: Sequence[Refused], deadline: float
    ) -> StorageError | None:
        """Write undelivered records to the spool and invalid ones to the dead letters.

        Return the error where that failed.
        """
        if not records and not invalid:
            return None

        def work() -> None:
            if invalid:
                # The sender repeats the post if the spool fails next.
                self._dead_letters.put_once(self._stream.name, invalid, self._connection)
            if records:
                self._spool.put(self._stream.name, records, connection=self._connection)

        return self._in_storage_time(work, deadline)

    def _in_storage_time(self, work: Callable[[], object], deadline: float) -> StorageError | None:
        """Run ``work``, which writes to storage; return the error where that failed."""
        seconds = min(_STORAGE_SECONDS, max(1.0, deadline - time.monotonic()))
        try:
            call_with_timeout(seconds, work)
        except StorageError as error:
            return error
        except TimeoutError:
            return StorageUnavailable(f"Storage did not answer within {seconds:.0f} s")
        return None


def _claimed(found: Events, claim: Claim) -> list[int]:
    """Return the indices of the events that this request has claimed, each once."""
    indices: list[int] = []
    mine = set(claim.mine)
    for index, name in enumerate(found.ids):
        if name is not None:
            if name not in mine:
                continue
            mine.remove(name)
        indices.append(index)
    return indices


def _format_of(connector: Connector) -> EventFormat:
    if connector.events is None:
        raise ValueError(f"{connector.name} posts no events")
    return connector.events
