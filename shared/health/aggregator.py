"""Add up runs in quick succession, and flush the sum at intervals."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from shared.runtime.process import on_reset
from shared.telemetry.run import RunResult

# Aggregators with a running timer, for reset_process() to stop.
_active_timers: set[RunAggregator] = set()


class RunAggregator:
    """Add up runs, and pass the sum to ``flush_to`` at most every ``seconds``.

    The first run starts a timer, whose thread flushes: ``add`` neither waits nor fails.
    ``flush_to(total, last failed run)`` returns whether it took them; if not, they are flushed
    again after as long, together with the runs since.
    """

    def __init__(
        self, seconds: float, flush_to: Callable[[RunResult, RunResult | None], bool]
    ) -> None:
        self._seconds = seconds
        self._flush_to = flush_to
        self._lock = threading.Lock()
        self._sum: RunResult | None = None
        self._failure: RunResult | None = None
        self._timer: threading.Timer | None = None

    def add(self, run: RunResult) -> None:
        """Add ``run``; start the timer if none is running."""
        with self._lock:
            self._sum = run if self._sum is None else _add(self._sum, run)
            if run.error:
                self._failure = run
            self._start_timer()

    def flush(self) -> None:
        """Pass on the sum of the runs so far; the timer calls it."""
        self.stop()
        with self._lock:
            run, failure = self._sum, self._failure
            self._sum = self._failure = None
        if run is not None and not self._flush_to(run, failure):
            self._merge_unflushed(run, failure)

    def _merge_unflushed(self, run: RunResult, failure: RunResult | None) -> None:
        with self._lock:
            self._sum = run if self._sum is None else _add(run, self._sum)
            self._failure = self._failure or failure
            self._start_timer()

    def _start_timer(self) -> None:
        """Start the timer unless it runs; call it under the lock."""
        if self._timer is None:
            self._timer = threading.Timer(self._seconds, self.flush)
            self._timer.daemon = True
            self._timer.start()
            _active_timers.add(self)

    def stop(self) -> None:
        """Stop the timer; the next run starts it again."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
            _active_timers.discard(self)


@on_reset
def stop_aggregators() -> None:
    """Stop every timer; runs that are not flushed yet are lost, as at a process's end."""
    for aggregator in list(_active_timers):
        aggregator.stop()


def _add(total: RunResult, run: RunResult) -> RunResult:
    """Sum of counts, longest duration, newest watermark, and the outcome of ``run``, the later."""
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
