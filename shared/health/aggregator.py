"""Runs in quick succession, added up and flushed at intervals."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from shared.runtime.process import on_reset
from shared.telemetry.run import StreamRun

# Those whose clock runs, so that a test can stop it.
_active_timers: set[RunAggregator] = set()


class RunAggregator:
    """Runs in quick succession made one, and handed on at most every ``seconds``.

    The first run starts a clock; when it rings, a thread of its own hands on what has come by then.
    So whoever reports neither waits nor fails. ``flush_to`` says whether it was taken; what was not
    is added to what comes next.
    """

    def __init__(
        self, seconds: float, flush_to: Callable[[StreamRun, StreamRun | None], bool]
    ) -> None:
        self._seconds = seconds
        self._flush_to = flush_to
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
                _active_timers.add(self)

    def flush(self) -> None:
        """Hand on what has come; called by the clock."""
        self.stop()
        with self._lock:
            run, failure = self._sum, self._failure
            self._sum = self._failure = None
        if run is not None and not self._flush_to(run, failure):
            self._merge_unflushed(run, failure)

    def _merge_unflushed(self, run: StreamRun, failure: StreamRun | None) -> None:
        with self._lock:
            self._sum = run if self._sum is None else _added(run, self._sum)
            self._failure = self._failure or failure

    def stop(self) -> None:
        """Stop the clock; the next run starts it again."""
        with self._lock:
            if self._clock is not None:
                self._clock.cancel()
            self._clock = None
            _active_timers.discard(self)


@on_reset
def stop_aggregators() -> None:
    """Stop every clock; what has not been handed on is forgotten with its process."""
    for gathered in list(_active_timers):
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
