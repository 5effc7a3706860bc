"""One invocation of a timer: every stream of one connector, each with its share of the time."""

from __future__ import annotations

import functools
import gc
import logging
import time
import uuid
from dataclasses import replace
from datetime import timedelta

from shared.azure import storage
from shared.delivery.batch_sender import BatchSender
from shared.delivery.dead_letters import DeadLetters
from shared.delivery.sink import Sink, sink_for
from shared.errors import (
    ConnectorError,
    RunFailed,
    StorageError,
    VendorRefused,
    error_boundary,
)
from shared.health import rows
from shared.polling.budget import budget_seconds
from shared.polling.stream_poll import Lookback, StreamPoll
from shared.records.timestamps import utc_now
from shared.settings import key_vault
from shared.settings.app import read_destination
from shared.source.connector import Connection, Connector
from shared.source.stream import Source
from shared.state.checkpoint import TABLE, Progress, StreamCheckpoint, partition_key
from shared.telemetry.events import emit
from shared.telemetry.history import age, ever_succeeded, history_after
from shared.telemetry.run import RunState, StreamRun

# What was fetched last may be delivered for an eighth of a stream's share longer, 90 % in all, and
# for no less than a 32nd of the budget.
DELIVERY_SHARE = 0.125
_LEAST_DELIVERY = 1 / 32
_LAST_ANSWER_SECONDS = 20.0
_OFF_AGAIN = timedelta(hours=1)
# A timer never ticks on the very second.
_TICK_SLACK = timedelta(seconds=30)

logger = logging.getLogger("connectors.polling")


def poll(connector: Connector) -> list[StreamRun]:
    """Poll every stream that is due; what a timer's ``main`` calls.

    Raises SettingsError before anything is fetched, and RunFailed after all streams had their turn.
    """
    connection = connector.connect()
    if connection is None:
        emit(logger, "connector_off", Connector=connector.name)
        return []
    target = sink_for(read_destination())
    raise_gc_thresholds()
    return PollRun(connector, connection, target).all_streams()


@functools.cache
def raise_gc_thresholds() -> None:
    """Let the garbage collector look for cycles less often, once a process.

    A page is thousands of objects without a cycle among them, gone when it is prepared. By Python's
    default, the collector would walk all that lives every few pages.
    """
    gc.set_threshold(50_000, 20, 20)


class PollRun:
    def __init__(self, connector: Connector, connection: Connection, target: Sink) -> None:
        self._connector = connector
        self._connection = connection
        self._destination = target
        self._run_id = uuid.uuid4().hex
        self._budget = budget_seconds()
        self._deadline = time.monotonic() + self._budget
        self._end = self._deadline + self._budget * DELIVERY_SHARE
        self._deliver_until = self._end
        self._failures: dict[str, Exception] = {}
        self._runs: list[StreamRun] = []

    def all_streams(self) -> list[StreamRun]:
        sources = list(self._connection.sources)
        for number in range(len(sources)):
            # Equal shares of what is left: a backlog of one stream starves no other.
            now = time.monotonic()
            share = max(self._deadline - now, 0.0) / (len(sources) - number)
            longer = max(share * DELIVERY_SHARE, self._budget * _LEAST_DELIVERY)
            self._deliver_until = min(now + share + longer, self._end)
            self._stream(number, now + share)
        expires = self._connection.token_expires
        rows.post(
            self._connector.name,
            self._runs,
            rows.Extras(token_expires=expires() if expires and self._runs else None),
        )
        if self._failures:
            raise RunFailed(self._connector.name, self._failures)
        return self._runs

    def _stream(self, number: int, fetch_until: float) -> None:
        stream = self._connection.sources[number].stream
        run = StreamRun(self._connector.name, stream.name, self._run_id, utc_now())
        began = time.monotonic()
        try:
            with error_boundary():
                due = self._poll_with_fresh_credentials(number, run, fetch_until)
        except ConnectorError as error:
            due = True
            run.status, run.error = RunState.FAILING, error
            self._failures[stream.setting_name] = error
            emit(
                logger,
                "stream_failed",
                Connector=self._connector.name,
                Stream=stream.name,
                ErrorClass=type(error).__name__,
                Message=str(error),
                RunId=self._run_id,
            )
        run.duration = time.monotonic() - began
        if due:
            self._runs.append(run)
            run.log()

    def _poll_with_fresh_credentials(self, number: int, run: StreamRun, fetch_until: float) -> bool:
        try:
            return self._poll(self._connection.sources[number], run, fetch_until)
        except VendorRefused as error:
            if error.status != 401 or not key_vault.refresh_secrets():
                raise
            connection = self._connector.connect()
            if connection is None:
                raise
            self._connection = connection
            return self._poll(connection.sources[number], run, fetch_until)

    def _poll(self, source: Source, run: StreamRun, fetch_until: float) -> bool:
        """False where the stream is not due."""
        session, stream = self._connection.session, source.stream
        checkpoint = StreamCheckpoint(
            storage.table(TABLE),
            partition_key(self._connector.name, self._connection.address),
            stream.name,
            self._run_id,
        )
        seen = checkpoint.load()
        past = checkpoint.progress
        run.watermark = past.watermark
        if past.off_since and age(past.looked_at) < _OFF_AGAIN - _TICK_SLACK:
            return False
        every = timedelta(minutes=self._connection.inventory_minutes)
        if stream.inventory and not past.window_end and age(past.looked_at) < every - _TICK_SLACK:
            return False
        # The engine stops between pages; the page on its way then may still arrive.
        session.begin(min(fetch_until + _LAST_ANSWER_SECONDS, self._end))
        delivery = BatchSender(self._destination, DeadLetters())
        polling = self._connection.polling
        lookback = Lookback(
            timedelta(hours=polling.initial_lookback_hours),
            timedelta(minutes=polling.overlap_minutes),
        )
        stream_poll = StreamPoll(source, checkpoint, delivery, run, lookback)
        try:
            with error_boundary():
                stream_poll.run(seen, fetch_until, self._deliver_until)
        except ConnectorError as error:
            if not delivery.counters.accepted and _may_be_off(source, past, error):
                self._turn_off(checkpoint, run, error)
                return True
            run.status, run.error = RunState.FAILING, error
            raise
        finally:
            run.requests, run.retries = session.requests, session.retries
            history = stream_poll.history()
            if run.status in (RunState.FAILING, RunState.CATCHING_UP):
                self._remember(checkpoint, history, run)
        return True

    def _remember(self, checkpoint: StreamCheckpoint, history: str, run: StreamRun) -> None:
        """Write down for the status page how a run went that did not end with a commit."""
        if isinstance(run.error, StorageError):
            return  # the row is another run's, or cannot be written
        progress = replace(checkpoint.progress, history=history)
        try:
            if not checkpoint.advance(progress, []):
                checkpoint.rewrite(progress, [])
        except StorageError as error:
            logger.warning("The status page will not show this run: %s", error)

    def _turn_off(
        self, checkpoint: StreamCheckpoint, run: StreamRun, error: ConnectorError
    ) -> None:
        """An optional stream that never worked is most likely not licensed: once a warning."""
        past = checkpoint.progress
        run.status = RunState.OFF
        run.note = f"Off, tried again hourly: {error}"
        if past.off_since is None:
            emit(
                logger,
                "stream_off",
                Connector=self._connector.name,
                Stream=run.stream,
                Message=run.note,
            )
        now = utc_now()
        off = replace(past, off_since=past.off_since or now, looked_at=now)
        checkpoint.rewrite(replace(off, history=history_after(past.history, run)), [])


def _may_be_off(source: Source, past: Progress, error: ConnectorError) -> bool:
    """Only an optional stream that never worked may turn itself off, and only for 403 and 404."""
    never = past.watermark is None and not ever_succeeded(past.history)
    refused = isinstance(error, VendorRefused) and error.status in (403, 404)
    return source.stream.optional and never and refused
