"""A webhook's health: a log line a request, rows and history at intervals."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from shared.delivery.batch_sender import DeliveryCounters
from shared.errors import SettingsError, StorageError
from shared.health.aggregator import RunAggregator
from shared.health.rows import post, queue_numbers
from shared.records.timestamps import utc_now
from shared.state.webhook_history import keep_history
from shared.telemetry.events import emit
from shared.telemetry.run import RunState, StreamRun

logger = logging.getLogger("connectors.health")

_HISTORY_SECONDS = 60.0

_ROWS_SECONDS = 300.0


class WebhookHealth:
    """Reports a webhook's requests: a log line each, a row in five minutes, history each minute."""

    def __init__(self, connector: str, stream: str) -> None:
        self._connector = connector
        self._stream = stream
        self.history = RunAggregator(_HISTORY_SECONDS, self._keep_history)
        self.rows = RunAggregator(_ROWS_SECONDS, self._post_row)

    def report(self, run: StreamRun) -> None:
        """One request's run: logged now, told of later."""
        run.log()
        self.history.add(run)
        self.rows.add(run)

    def retried(self, delivered: DeliveryCounters) -> None:
        """What ``DeliveryRetry`` did with one message; its records were counted when they came."""
        run = StreamRun(self._connector, self._stream, f"retry-{time.time_ns():x}", utc_now())
        run.bytes_sent, run.dead_lettered = delivered.bytes_sent, delivered.dead_lettered
        run.requests, run.retries = delivered.requests, delivered.retries
        if delivered.requests and not delivered.accepted and not delivered.dead_lettered:
            run.status, run.note = RunState.LATE, "Spooled events still wait for Azure Monitor"
        self.history.add(run)
        self.rows.add(run)

    def _post_row(self, run: StreamRun, failure: StreamRun | None) -> bool:
        if failure and run.error is None:
            # It ended well, but not all of it went well: whoever watches should know.
            run = replace(run, status=RunState.FAILING, error=failure.error)
        post(self._connector, [run], queue_numbers())
        return True

    def _keep_history(self, run: StreamRun, failure: StreamRun | None) -> bool:
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
