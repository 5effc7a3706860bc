"""How a poll of a stream may end without an end: it waits, is disabled, or goes on in this run."""

from __future__ import annotations

import logging
from dataclasses import replace

from shared.errors import ConnectorError, NoProgress, StorageError
from shared.polling.throttled import Wait
from shared.records.timestamps import utc_now
from shared.state.checkpoint import StreamCheckpoint
from shared.state.progress import Progress
from shared.telemetry.events import emit
from shared.telemetry.history import history_after
from shared.telemetry.run import RunCounters, RunResult, RunState

logger = logging.getLogger("connectors.polling")


def goes_on(result: RunResult) -> bool:
    """Whether the stream has more to read, so that it uses the time that others leave."""
    if result.waits_until:
        return False
    return result.status == RunState.CATCHING_UP or isinstance(result.error, NoProgress)


def wait_for_limit(checkpoint: StreamCheckpoint, counters: RunCounters, wait: Wait) -> RunResult:
    """The result of a stream that waits for the vendor's limit of calls; write the wait down.

    Raises VendorUnavailable where the wait lasts too long.
    """
    error = wait.error(counters.started)
    progress = checkpoint.progress
    counters.watermark = progress.position or progress.watermark
    result = counters.result(
        RunState.FAILING if error else RunState.CATCHING_UP,
        error=error,
        note="" if error else wait.note,
        waits_until=wait.until,
    )
    history = history_after(progress.history, result)
    keep_progress(checkpoint, replace(wait.noted(progress), history=history), error)
    if error:
        raise error
    return result


def disable(
    checkpoint: StreamCheckpoint, counters: RunCounters, error: ConnectorError
) -> RunResult:
    """Disable an optional stream that never worked, most likely unlicensed; warn once."""
    past = checkpoint.progress
    result = counters.result(RunState.OFF, note=f"Off, tried again hourly: {error}")
    if past.disabled_since is None:
        emit(
            logger,
            "stream_off",
            Connector=counters.connector,
            Connection=counters.connection,
            Stream=result.stream,
            Message=result.note,
        )
    now = utc_now()
    progress = replace(
        past,
        disabled_since=past.disabled_since or now,
        last_polled_at=now,
        history=history_after(past.history, result),
    )
    checkpoint.rewrite(progress, [])
    return result


def keep_progress(
    checkpoint: StreamCheckpoint, progress: Progress, failure: ConnectorError | None
) -> None:
    """Write ``progress`` with its history, after a run that did not end with a commit."""
    if isinstance(failure, StorageError):
        return  # another run owns the row, or it cannot be written
    try:
        if not checkpoint.advance(progress, []):
            checkpoint.rewrite(progress, [])
    except StorageError as error:
        logger.warning("The status page will not show this run: %s", error)
