"""What each run did, as rows of ``ConnectorHealth_CL`` and, for the webhook, its history.

SentinelHealth does not cover function apps, so the connectors report on themselves: one small
upload a run, within seconds, and never at the run's cost. A row that is not taken is not tried
again: the next run sends a newer one, and the status page reads the storage account instead.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared import VERSION, storage
from shared.checkpoints import TABLE, storage_errors
from shared.deadlines import within
from shared.delivery.batches import packed
from shared.delivery.delivery import Delivered
from shared.delivery.destination import destination
from shared.delivery.spool import Spool
from shared.errors import ConnectorError, SettingsError, StorageError
from shared.events import emit
from shared.records import declared_fields, encode, isoformat, utc_now
from shared.runs import FAILING, LATE, StreamRun, history_after
from shared.settings import read_destination

STREAM = "Custom-ConnectorHealth"
RULE = "ConnectorHealthRuleId"
_SECONDS = 10.0
_HISTORY_SECONDS = 60.0
_ROWS_SECONDS = 300.0
_TRIES = 5

logger = logging.getLogger("connectors.health")


@dataclass(frozen=True, slots=True)
class Extras:
    """What a row tells beside its run; None where it is not known or not this row's to tell."""

    spool_depth: int | None = None
    poison_messages: int | None = None
    token_expires: datetime | None = None


def row(run: StreamRun, extras: Extras) -> dict[str, Any]:
    """The row of one run, by the columns of sentinel/tables/ConnectorHealth_CL.yaml."""
    days = None
    if extras.token_expires:
        days = round((extras.token_expires - run.started).total_seconds() / 86_400, 2)
    return {
        **run.dimensions(),
        "SpoolDepth": extras.spool_depth,
        "PoisonMessages": extras.poison_messages,
        "TokenExpiresInDays": days,
        "Version": VERSION,
    }


def post(connector: str, runs: Sequence[StreamRun], extras: Extras | None = None) -> bool:
    """Send a row for each run; False where they were not taken, which the log says.

    True, with nothing sent, where there is no run, no rule for the rows, or only the Data Collector
    API, for which no table was ever agreed. Raises none of this project's errors.
    """
    try:
        settings = read_destination()
        if not runs or RULE not in settings.rule_ids:
            return True
        known = extras or Extras()
        declared = declared_fields(STREAM)
        encoded = [
            encode(row(run, known), time_generated=run.started, declared=declared) for run in runs
        ]

        def upload() -> None:
            for _, batch in packed(STREAM, encoded):
                destination(settings).upload(batch, _SECONDS)

        within(_SECONDS, upload)
    except (ConnectorError, TimeoutError) as error:
        emit(
            logger,
            "health_not_sent",
            Connector=connector,
            ErrorClass=type(error).__name__,
            Message=str(error) or f"Azure Monitor did not answer within {_SECONDS:.0f} s",
        )
        return False
    return True


def queue_numbers() -> Extras:
    """How much waits in the spool and in the poison queue; nothing where storage cannot say."""
    try:
        spool = Spool()
        return Extras(spool_depth=spool.depth(), poison_messages=spool.poisoned())
    except (StorageError, SettingsError) as error:
        logger.debug("The queues could not be counted: %s", error)
        return Extras()


# Those whose clock runs, so that a test can stop it.
_ticking: set[Gathered] = set()


class Gathered:
    """Runs in quick succession made one, and handed on at most every ``seconds``.

    The first run starts a clock; when it rings, a thread of its own hands on what has come by then.
    So whoever reports neither waits nor fails. ``hand_on`` says whether it was taken; what was not
    is added to what comes next.
    """

    def __init__(
        self, seconds: float, hand_on: Callable[[StreamRun, StreamRun | None], bool]
    ) -> None:
        self._seconds = seconds
        self._hand_on = hand_on
        self._lock = threading.Lock()
        self._sum: StreamRun | None = None
        self._failure: StreamRun | None = None
        self._clock: threading.Timer | None = None

    def add(self, run: StreamRun) -> None:
        """Count ``run`` in."""
        with self._lock:
            self._sum = _added(self._sum, run)
            if run.error:
                self._failure = run
            if self._clock is None:
                self._clock = threading.Timer(self._seconds, self.flush)
                self._clock.daemon = True
                self._clock.start()
                _ticking.add(self)

    def flush(self) -> None:
        """Hand on what has come; called by the clock."""
        self.stop()
        with self._lock:
            run, failure = self._sum, self._failure
            self._sum = self._failure = None
        if run is not None and not self._hand_on(run, failure):
            self._take_back(run, failure)

    def _take_back(self, run: StreamRun, failure: StreamRun | None) -> None:
        with self._lock:
            self._sum = run if self._sum is None else _added(run, self._sum)
            self._failure = self._failure or failure

    def stop(self) -> None:
        """Stop the clock; the next run starts it again."""
        with self._lock:
            if self._clock is not None:
                self._clock.cancel()
            self._clock = None
            _ticking.discard(self)


def stop_gathering() -> None:
    """Stop every clock; what has not been handed on is forgotten with its process."""
    for gathered in list(_ticking):
        gathered.stop()


def _added(total: StreamRun | None, run: StreamRun) -> StreamRun:
    """Both as one: counts added, the slowest's duration, and the later one's outcome."""
    if total is None:
        return replace(run)
    marks = [mark for mark in (total.watermark, run.watermark) if mark]
    return replace(
        run,
        records=total.records + run.records,
        bytes_read=total.bytes_read + run.bytes_read,
        bytes_sent=total.bytes_sent + run.bytes_sent,
        requests=total.requests + run.requests,
        retries=total.retries + run.retries,
        repeats=total.repeats + run.repeats,
        dead_lettered=total.dead_lettered + run.dead_lettered,
        duration=max(total.duration, run.duration),
        watermark=max(marks, default=None),
    )


class WebhookHealth:
    """Reports a webhook's requests: a log line each, a row in five minutes, history each minute."""

    def __init__(self, connector: str, stream: str) -> None:
        self._connector = connector
        self._stream = stream
        self.history = Gathered(_HISTORY_SECONDS, self._keep_history)
        self.rows = Gathered(_ROWS_SECONDS, self._post_row)

    def report(self, run: StreamRun) -> None:
        """One request's run: logged now, told of later."""
        run.log()
        self.history.add(run)
        self.rows.add(run)

    def retried(self, delivered: Delivered) -> None:
        """What ``DeliveryRetry`` did with one message; its records were counted when they came."""
        run = StreamRun(self._connector, self._stream, f"retry-{time.time_ns():x}", utc_now())
        run.bytes_sent, run.dead_lettered = delivered.bytes_sent, delivered.dead_lettered
        run.requests, run.retries = delivered.requests, delivered.retries
        if delivered.requests and not delivered.accepted and not delivered.dead_lettered:
            run.status, run.note = LATE, "Spooled events still wait for Azure Monitor"
        self.history.add(run)
        self.rows.add(run)

    def _post_row(self, run: StreamRun, failure: StreamRun | None) -> bool:
        if failure and run.error is None:
            # It ended well, but not all of it went well: whoever watches should know.
            run = replace(run, status=FAILING, error=failure.error)
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


def webhook_partition(connector: str) -> str:
    """Where a webhook's history stands among the checkpoints."""
    return f"{connector}:webhook"


def keep_history(run: StreamRun, failure: StreamRun | None) -> None:
    """Write a webhook's counts into its row, which several instances share.

    Raises StorageUnavailable, also when the others were quicker five times.
    """
    from azure.core import MatchConditions
    from azure.core.exceptions import (
        ResourceExistsError,
        ResourceModifiedError,
        ResourceNotFoundError,
    )

    from shared.errors import StorageUnavailable

    table = storage.table(TABLE)
    partition = webhook_partition(run.connector)
    with storage_errors(f"keeping the history of {run.stream}"):
        for _ in range(_TRIES):
            entity: dict[str, Any] = {"PartitionKey": partition, "RowKey": run.stream}
            etag = None
            try:
                found = table.get_entity(partition, run.stream)
                entity |= {name: found.get(name) for name in ("history", "watermark")}
                etag = str(found.metadata["etag"])
            except ResourceNotFoundError:
                etag = None
            _count_in(entity, run, failure)
            try:
                if etag:
                    table.update_entity(
                        entity, etag=etag, match_condition=MatchConditions.IfNotModified
                    )
                else:
                    _create(table, entity)
            except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
                continue  # changed, or removed, since it was read
            return
    raise StorageUnavailable(f"The history of {run.stream} was changed by others five times")


def _count_in(entity: dict[str, Any], run: StreamRun, failure: StreamRun | None) -> None:
    history = str(entity.get("history") or "")
    if failure and run.error is None:
        nothing = StreamRun(run.connector, run.stream, failure.run_id, failure.started)
        history = history_after(
            history, replace(nothing, status=failure.status, error=failure.error)
        )
    entity["history"] = history_after(history, run)
    if run.watermark:
        entity["watermark"] = max(str(entity.get("watermark") or ""), isoformat(run.watermark))


def _create(table: Any, entity: dict[str, Any]) -> None:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        table.create_entity(entity)
    except ResourceNotFoundError:
        table.create_table()
        table.create_entity(entity)
