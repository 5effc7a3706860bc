"""Add up runs in quick succession, and flush the sum at intervals."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.runtime.process import on_reset
from shared.telemetry.run import RunResult, RunState

# Aggregators with a running timer, for reset_process() to stop.
_active_timers: set[RunAggregator] = set()


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The sum of runs, with the outcome of the last; the last that failed, the last that did not.

    ``failure`` and ``success`` are None where there was none.
    """

    total: RunResult
    failure: RunResult | None = None
    success: RunResult | None = None


class RunAggregator:
    """Add up runs, and pass the sum to ``flush_to`` at most every ``seconds``.

    The first run starts a timer, whose thread flushes: ``add`` neither waits nor fails. With
    ``first_seconds`` the first run after a pause, and a run that ends otherwise than the one
    before, are flushed so soon. ``flush_to(aggregate)`` returns whether it took it; if not, it is
    flushed again after ``seconds``, together with the runs since.
    """

    def __init__(
        self,
        seconds: float,
        flush_to: Callable[[Aggregate], bool],
        *,
        first_seconds: float | None = None,
    ) -> None:
        self._seconds = seconds
        self._first_seconds = seconds if first_seconds is None else first_seconds
        self._flush_to = flush_to
        self._lock = threading.Lock()
        self._sum: Aggregate | None = None
        self._status: RunState | None = None
        self._flushed_at = float("-inf")
        self._timer: threading.Timer | None = None
        self._due = 0.0

    def add(self, run: RunResult) -> None:
        """Add ``run``; start the timer if none is running."""
        failed = Aggregate(run, failure=run) if run.error else Aggregate(run, success=run)
        with self._lock:
            self._sum = failed if self._sum is None else _merge(self._sum, failed)
            changed = self._status is not None and run.status != self._status
            self._status = run.status
            rest = self._flushed_at + self._seconds - time.monotonic()
            self._start_timer(self._first_seconds if changed or rest <= 0 else rest)

    def add_counts(self, run: RunResult) -> None:
        """Add ``run``, which is no success of the sender: it ends what was late, and no failure."""
        counts = Aggregate(run)
        with self._lock:
            if self._sum is None:
                self._sum = counts
            elif self._sum.failure is None:
                self._sum = _merge(self._sum, counts)
            else:
                self._sum = _merge(counts, self._sum)
            self._start_timer(self._seconds)

    def flush(self) -> None:
        """Pass on the sum of the runs so far; the timer calls it."""
        self.stop()
        with self._lock:
            aggregate = self._sum
            self._sum = None
            self._flushed_at = time.monotonic()
        if aggregate is not None and not self._flush_to(aggregate):
            self._merge_unflushed(aggregate)

    def _merge_unflushed(self, aggregate: Aggregate) -> None:
        with self._lock:
            self._sum = aggregate if self._sum is None else _merge(aggregate, self._sum)
            self._start_timer(self._seconds)

    def _start_timer(self, seconds: float) -> None:
        """Start the timer unless it ends as soon; call it under the lock."""
        due = time.monotonic() + seconds
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = threading.Timer(seconds, self.flush)
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


def _merge(earlier: Aggregate, later: Aggregate) -> Aggregate:
    return Aggregate(
        _add(earlier.total, later.total),
        later.failure or earlier.failure,
        later.success or earlier.success,
    )


def _add(total: RunResult, run: RunResult) -> RunResult:
    """Sum of counts, longest duration, newest watermark, and the outcome of ``run``, the later."""
    marks = [mark for mark in (total.watermark, run.watermark) if mark]
    return replace(
        run,
        duration=max(total.duration, run.duration),
        watermark=max(marks, default=None),
        hours=Counter(total.hours) + Counter(run.hours),
        **total.counts_with(run),
    )
