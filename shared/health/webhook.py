"""Report a webhook's health: a log line per request, rows and history at intervals."""

from __future__ import annotations

import functools
import logging
import time
from dataclasses import replace

from shared.delivery.batch_sender import DeliveryCounters
from shared.delivery.redelivery import Redelivered
from shared.errors import SettingsError, StorageError
from shared.health.aggregator import RunAggregator
from shared.health.rows import post, queue_numbers
from shared.records.declared import declared_streams
from shared.records.timestamps import utc_now
from shared.runtime.process import on_reset
from shared.state.webhook_history import keep_history
from shared.telemetry.events import emit
from shared.telemetry.run import RunCounters, RunResult, RunState

logger = logging.getLogger("connectors.health")

_HISTORY_SECONDS = 60.0

_ROWS_SECONDS = 300.0


class WebhookHealth:
    """Report a webhook's requests: a log line each, a row in 5 minutes, history every minute."""

    def __init__(self, connector: str, stream: str) -> None:
        self._connector = connector
        self._stream = stream
        self.history = RunAggregator(_HISTORY_SECONDS, self._keep_history)
        self.rows = RunAggregator(_ROWS_SECONDS, self._post_row)

    def report(self, run: RunResult) -> None:
        """Log one request's run, and add it to the next row and to the history."""
        run.log()
        self.history.add(run)
        self.rows.add(run)

    def retried(self, delivered: DeliveryCounters) -> None:
        """Add a redelivery by ``DeliveryRetry``; its records were counted on their receipt."""
        run_id = f"retry-{time.time_ns():x}"
        counters = RunCounters(self._connector, self._stream, run_id, utc_now())
        counters.bytes_sent, counters.dead_lettered = delivered.bytes_sent, delivered.dead_lettered
        counters.requests, counters.retries = delivered.requests, delivered.retries
        if delivered.requests and not delivered.accepted and not delivered.dead_lettered:
            note = "Spooled events still wait for Azure Monitor"
            run = counters.result(RunState.LATE, note=note)
        else:
            run = counters.result(RunState.OK)
        self.history.add(run)
        self.rows.add(run)

    def _post_row(self, run: RunResult, failure: RunResult | None) -> bool:
        if failure and run.error is None:
            # Report a failure in the interval even if the last request succeeded.
            run = replace(run, status=RunState.FAILING, error=failure.error)
        post(self._connector, [run], queue_numbers())
        return True

    def _keep_history(self, run: RunResult, failure: RunResult | None) -> bool:
        try:
            keep_history(run, failure)
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


def report_redelivered(done: Redelivered) -> None:
    """Add an invocation of ``DeliveryRetry`` to the health of each stream's webhook."""
    for stream, counters in done.streams.items():
        if stream in declared_streams():  # unreadable messages are of none
            health_of(stream).retried(counters)


@functools.cache
def health_of(stream: str) -> WebhookHealth:
    """The health of the webhook whose events are ``stream``'s; raises KeyError for no stream."""
    return WebhookHealth(declared_streams()[stream].connector, stream)


on_reset(health_of.cache_clear)
