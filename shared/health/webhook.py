"""Report a webhook's health: a log line per request, rows and history at intervals."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from shared.delivery.batch_sender import DeliveryCounters
from shared.delivery.redelivery import Redelivered
from shared.errors import PostRefused, SettingsError, StorageError, VendorRefused
from shared.health.aggregator import Aggregate, RunAggregator
from shared.health.rows import post, queue_numbers
from shared.records.declared import declared_streams
from shared.records.timestamps import utc_now
from shared.runtime.process import process_singleton
from shared.state.posted_hours import add_posted
from shared.state.webhook_history import keep_history
from shared.telemetry.events import emit
from shared.telemetry.run import RunCounters, RunResult, RunState

logger = logging.getLogger("connectors.health")

_HISTORY_SECONDS = 60.0
# The status page shows the first post, and a change of its state, so soon.
_FIRST_SECONDS = 2.0
_ROWS_SECONDS = 300.0


class WebhookHealth:
    """Report a webhook's requests: a log line each, a row in 5 minutes, history every minute.

    The first history after a pause, and one with a changed state, follow within seconds.
    """

    def __init__(self, connector: str, stream: str, connection: str = "") -> None:
        self._connector = connector
        self._connection = connection
        self._stream = stream
        self.history = RunAggregator(
            _HISTORY_SECONDS, self._keep_history, first_seconds=_FIRST_SECONDS
        )
        self.rows = RunAggregator(_ROWS_SECONDS, self._post_row)

    def report(self, run: RunResult) -> None:
        """Log one request's run, and add it to the next row and to the history."""
        run.log()
        self.history.add(run)
        self.rows.add(run)

    def retried(self, delivered: DeliveryCounters) -> None:
        """Add a redelivery by ``DeliveryRetry``; its records were counted on their receipt."""
        run_id = f"retry-{time.time_ns():x}"
        counters = RunCounters(
            self._connector, self._stream, run_id, utc_now(), connection=self._connection
        )
        counters.bytes_sent, counters.dead_lettered = delivered.bytes_sent, delivered.dead_lettered
        counters.requests, counters.retries = delivered.requests, delivered.retries
        if delivered.requests and not delivered.accepted and not delivered.dead_lettered:
            note = "Spooled events still wait for Azure Monitor"
            run = counters.result(RunState.LATE, note=note)
        else:
            run = counters.result(RunState.OK)
        # Leave the history's state to posts: a redelivery does not tell whether the sender is well.
        self.rows.add_counts(run)

    def _post_row(self, aggregate: Aggregate) -> bool:
        run, failure = aggregate.total, aggregate.failure
        if failure is not None:
            # Report a failure in the interval even if the last request succeeded.
            state = RunState.LATE if _is_beside_good_posts(aggregate) else RunState.FAILING
            run = replace(run, status=state, error=failure.error)
        post(self._connector, [run], queue_numbers(), connection=self._connection)
        return True

    def _keep_history(self, aggregate: Aggregate) -> bool:
        try:
            if aggregate.total.hours:
                add_posted(self._connector, self._connection, aggregate.total.hours, utc_now())
                # What is written is not written again where the next write fails.
                aggregate = replace(aggregate, total=replace(aggregate.total, hours={}))
            keep_history(aggregate.total, aggregate.failure, aggregate.success)
        except (StorageError, SettingsError) as error:
            emit(
                logger,
                "history_not_kept",
                Connector=self._connector,
                ErrorClass=type(error).__name__,
                Message=str(error),
            )
            return False
        return True


def _is_beside_good_posts(aggregate: Aggregate) -> bool:
    """Whether good posts show that a refused request is not the sender's usual one.

    A wrong token may be anybody's who knows the address; a refused body is the sender's, until a
    good post follows it.
    """
    if aggregate.failure is None or aggregate.success is None:
        return False
    if isinstance(aggregate.failure.error, VendorRefused):
        return True
    return isinstance(aggregate.failure.error, PostRefused) and aggregate.total.error is None


def report_redelivered(done: Redelivered) -> None:
    """Add an invocation of ``DeliveryRetry`` to the health of each connection's webhook."""
    for (stream, connection), counters in done.streams.items():
        if stream in declared_streams():  # unreadable messages are of none
            health_of(stream, connection).retried(counters)


@process_singleton
def health_of(stream: str, connection: str) -> WebhookHealth:
    """The health of a connection's webhook whose events are ``stream``'s.

    Raises KeyError for no stream.
    """
    return WebhookHealth(declared_streams()[stream].connector, stream, connection)


def report_post(run: RunResult) -> None:
    """Add a post's run to the health of its connection's webhook."""
    health_of(run.stream, run.connection).report(run)
