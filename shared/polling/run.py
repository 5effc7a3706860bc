"""A timer's invocation: poll every stream of one connector, each with its share of the time."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn

from shared.azure import storage
from shared.connections.opening import open_connection
from shared.delivery.batch_sender import BatchSender
from shared.delivery.dead_letters import DeadLetters
from shared.delivery.sink import Sink, sink_for
from shared.errors import (
    ConnectorError,
    LeaseLost,
    NoProgress,
    RunFailed,
    SettingsError,
    StorageError,
    VendorRefused,
    error_boundary,
)
from shared.health import rows
from shared.polling.budget import budget_seconds
from shared.polling.due import is_due, may_be_disabled
from shared.polling.leased_sink import LeasedSink
from shared.polling.outcome import disable, goes_on, keep_progress, wait_for_limit
from shared.polling.poll_lease import lease_to_poll
from shared.polling.shares import Shares, StreamTask
from shared.polling.stream_poll import Lookback, StreamPoll
from shared.polling.stuck import STUCK_AFTER, ProgressWatch, stuck
from shared.polling.throttled import is_throttled, open_wait, wait_after
from shared.records.timestamps import utc_now
from shared.runtime.turns import TURNS
from shared.settings import key_vault
from shared.settings.app import PollingSettings, read_destination, read_polling
from shared.source.connector import Connection, Connector
from shared.source.stream import Stream
from shared.state.checkpoint import TABLE, StreamCheckpoint, partition_key
from shared.state.lease import PollLease
from shared.telemetry.events import emit
from shared.telemetry.run import RunCounters, RunResult, RunState, worst

logger = logging.getLogger("connectors.polling")


def poll(connector: Connector, name: str = "") -> list[RunResult]:
    """Poll every stream of a connection that is due; return a result for each.

    ``name`` is the connection's, '' for the one without. Raises SettingsError before fetching, and
    RunFailed after all streams had their turn.
    """
    connection = open_connection(connector, name)
    if connection is None:
        emit(logger, "connector_off", Connector=connector.name)
        return []
    run = PollRun(connector, connection, sink_for(read_destination(name)), read_polling())
    try:
        with lease_to_poll(connector.name, name) as lease:
            if lease is None:
                return []
            lease.begin()
            return poll_under(lease, run)
    except LeaseLost as error:
        emit(logger, "lease_lost", **run.whose, Message=str(error))
        return []
    except (StorageError, SettingsError) as error:
        run.fail(error)


def poll_under(lease: PollLease, run: PollRun, *, put_off: bool = False) -> list[RunResult]:
    """Poll after ``lease.begin``, and write down in the lease's blob how that ended.

    ``put_off`` has a connection whose vendor does not answer at all polled less and less often.
    Raises LeaseLost where the lease is lost: a run that ends so is no alert. Raises RunFailed.
    """
    if lease.unended:
        run.tell_unended(lease.unended)
    run.hold(lease)
    outcome = RunState.FAILING
    try:
        results = run.all_streams()
        outcome = worst(result.status for result in results)
    finally:
        lease.end(outcome, silent=run.silent, put_off=put_off)
    return results


class _SecretsChanged(Exception):
    """The vendor refused the sign-in, and the vault has another: ``connection`` has it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        super().__init__()


class PollRun:
    """One invocation over all streams of a connection.

    ``connection`` is the first stream's; a stream that renews the credentials hands its connection
    on to the next. ``budget`` is its time in seconds, by default that of the function. Losing
    ``lease`` raises LeaseLost, and counts as no stream's failure.
    """

    def __init__(
        self,
        connector: Connector,
        connection: Connection,
        target: Sink,
        polling: PollingSettings,
        *,
        budget: float | None = None,
    ) -> None:
        self._connector = connector
        self._lease: PollLease | None = None
        self._polling = polling
        self._first_connection = connection
        self._sink = target
        self._run_id = uuid.uuid4().hex
        self._shares = Shares(budget_seconds() if budget is None else budget)
        self._failures: dict[str, Exception] = {}
        self._results: list[RunResult] = []
        self._watch = ProgressWatch()

    @property
    def whose(self) -> Mapping[str, Any]:
        """The connector and the connection, as dimensions of a log event."""
        return {"Connector": self._connector.name, "Connection": self._first_connection.name}

    @property
    def silent(self) -> bool:
        """Whether the vendor was asked and did not answer at all."""
        return self._first_connection.client.silent

    def hold(self, lease: PollLease) -> None:
        """Poll and upload only while ``lease`` is sure."""
        self._lease = lease
        self._sink = LeasedSink(self._sink, lease)
        self._watch.unended = lease.unended

    def tell_unended(self, runs: int) -> None:
        """Tell that the ``runs`` before this one, in a row, began and never ended.

        Such a run posts no row: after the second one, its successor posts one for each stream.
        """
        emit(logger, "run_not_ended", **self.whose, Runs=runs)
        if runs < STUCK_AFTER:
            return
        error = NoProgress(
            f"{runs} runs in a row began and never ended: the process was killed, most likely out "
            "of memory. Give the app's instances more, or choose fewer streams"
        )
        told = [
            replace(self._counters(source.stream), run_id=uuid.uuid4().hex).result(
                RunState.FAILING, error=error
            )
            for source in self._first_connection.sources
        ]
        rows.post(self._connector.name, told, connection=self._first_connection.name)

    def fail(self, error: ConnectorError) -> NoReturn:
        """Record ``error`` as the failure of every stream; raises RunFailed."""
        for source in self._first_connection.sources:
            self._record(self._failed(source.stream, self._counters(source.stream), error))
        rows.post(self._connector.name, self._results, connection=self._first_connection.name)
        raise RunFailed(self._connector.name, self._failures)

    def all_streams(self) -> list[RunResult]:
        """Poll the streams in turn and post their health rows. Raises RunFailed at the end."""
        connection = self._first_connection
        waiting = list(range(len(connection.sources)))
        while waiting:
            for place, number in enumerate(waiting):
                task = self._shares.task(connection, number, len(waiting) - place)
                connection = self._run_stream(task)
            waiting = self._still_behind(connection)
        if connection.counted is not None:
            self._count_hours(connection, connection.counted.stream)
        for result in self._results:
            if result.status == RunState.CATCHING_UP:
                result.log()
        expires = connection.token_expires
        rows.post(
            self._connector.name,
            self._results,
            rows.Extras(token_expires=expires() if expires and self._results else None),
            connection=connection.name,
        )
        if self._failures:
            raise RunFailed(self._connector.name, self._failures)
        return self._results

    def _count_hours(self, connection: Connection, stream: Stream) -> None:
        """Compare posts with what the vendor lists: a result where events miss, or it failed."""
        from shared.polling.hour_count import compare  # needed by few: a cold start goes without

        counters = self._counters(stream)
        try:
            with error_boundary():
                result = compare(self._connector, connection, counters, self._shares.deadline)
        except ConnectorError as error:
            self._check_lease()
            result = self._failed(stream, counters, error)
        if result:
            self._record(result)

    def _still_behind(self, connection: Connection) -> list[int]:
        """The streams to poll once more in this run: those catching up, while time is left."""
        behind = {r.stream for r in self._results if goes_on(r)}
        if not self._shares.suffice(len(behind)):
            return []
        sources = enumerate(connection.sources)
        return [number for number, source in sources if source.stream.name in behind]

    def _run_stream(self, task: StreamTask) -> Connection:
        """Poll a stream and record its result; return the connection for the next stream."""
        TURNS.begin_stream()
        self._check_lease()
        stream = task.source.stream
        counters = self._counters(stream)
        result: RunResult | None
        try:
            with error_boundary():
                try:
                    result = self._poll(task, counters)
                except _SecretsChanged as changed:
                    task = task.over(changed.connection)
                    counters = counters.restarted()
                    result = self._poll(task, counters, may_reconnect=False)
        except LeaseLost:
            raise
        except ConnectorError as error:
            self._check_lease()
            result = self._failed(stream, counters, error)
        else:
            self._failures.pop(stream.setting_name, None)
        if result:
            self._record(result)
        return task.connection

    def _counters(self, stream: Stream) -> RunCounters:
        return RunCounters(
            self._connector.name,
            stream.name,
            self._run_id,
            utc_now(),
            connection=self._first_connection.name,
        )

    def _failed(self, stream: Stream, counters: RunCounters, error: ConnectorError) -> RunResult:
        """Keep a stream's failure for the run's end, and log it."""
        self._failures[stream.setting_name] = error
        emit(
            logger,
            "stream_failed",
            **self.whose,
            Stream=stream.name,
            ErrorClass=type(error).__name__,
            Message=str(error),
            RunId=self._run_id,
        )
        return counters.result(RunState.FAILING, error=error)

    def _record(self, result: RunResult) -> None:
        """Keep a stream's result, added to that of its earlier rounds; log it at its end."""
        for place, before in enumerate(self._results):
            if before.stream == result.stream:
                result = before.followed_by(result)
                self._results[place] = result
                break
        else:
            self._results.append(result)
        if result.status != RunState.CATCHING_UP:
            result.log()

    def _check_lease(self) -> None:
        """Raise LeaseLost where another run may poll by now."""
        if self._lease is not None:
            self._lease.check()

    def _with_fresh_credentials(self, error: ConnectorError) -> Connection | None:
        """Connect with secrets read from Key Vault again, after a rotation.

        None unless ``error`` is a 401 and the secrets have changed.
        """
        if not (isinstance(error, VendorRefused) and error.status == 401):
            return None
        if not key_vault.refresh_secrets():
            return None
        return open_connection(self._connector, self._first_connection.name)

    def _poll(
        self, task: StreamTask, counters: RunCounters, *, may_reconnect: bool = True
    ) -> RunResult | None:
        """Poll a stream from its checkpoint; None where it is not due.

        Raises the ConnectorError tree; the history for the status page then has the failure. Raises
        _SecretsChanged, and leaves no trace of the failure, where another try may cure it.
        """
        connection, stream = task.connection, task.source.stream
        client = connection.client
        checkpoint = StreamCheckpoint(
            storage.table(TABLE),
            partition_key(self._connector.name, connection.address, connection.name),
            stream.name,
            self._run_id,
        )
        seen = checkpoint.load()
        past = checkpoint.progress
        counters.watermark = past.watermark
        self._watch.begin(stream, past)
        if not is_due(stream, past, connection.inventory_minutes):
            return None
        if wait := open_wait(self._connector.name, past, utc_now()):
            return wait_for_limit(checkpoint, counters, wait)
        # Allow the page in flight at the fetch deadline to arrive: StreamPoll stops between pages.
        client.begin(self._shares.answers_until(task))
        sender = BatchSender(self._sink, DeadLetters(), connection=self._first_connection.name)
        lookback = Lookback(
            timedelta(hours=self._polling.initial_lookback_hours),
            timedelta(minutes=self._polling.overlap_minutes),
        )
        stream_poll = StreamPoll(task.source, checkpoint, sender, counters, lookback)
        failure: ConnectorError | None = None
        state = RunState.FAILING
        try:
            with error_boundary():
                state = stream_poll.run(seen, task.fetch_deadline, task.deliver_deadline)
        except ConnectorError as error:
            failure = error
        if failure and may_reconnect and (fresh := self._with_fresh_credentials(failure)):
            raise _SecretsChanged(fresh)
        counters.requests, counters.retries = client.requests, client.retries
        stream_poll.count_delivered()
        if failure and not sender.counters.accepted and may_be_disabled(stream, past, failure):
            return disable(checkpoint, counters, failure)
        before = sum(r.records for r in self._results if r.stream == stream.name)
        delivered = before + counters.records
        reached = self._watch.reached(stream, checkpoint.progress, delivered)
        if is_throttled(failure):
            wait = wait_after(failure, self._connector.name, reached.throttled_since, utc_now())
            return wait_for_limit(checkpoint, counters, wait)
        stalled = 0
        if state == RunState.CATCHING_UP:
            stalled = self._watch.stalled_runs(stream, checkpoint.progress, delivered)
            if stalled >= STUCK_AFTER:
                failure = stuck(stream, checkpoint.progress, stalled)
        note = "" if failure else stream_poll.note
        state = RunState.FAILING if failure else state
        result = counters.result(state, error=failure, note=note)
        if state in (RunState.FAILING, RunState.CATCHING_UP):
            progress = replace(reached, history=stream_poll.history_with(result))
            if stalled or not failure:
                progress = replace(progress, stalled=stalled)
            keep_progress(checkpoint, progress, failure)
        if failure:
            raise failure
        return result
