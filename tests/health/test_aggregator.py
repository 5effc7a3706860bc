"""The aggregator's flushes: by the clock, and again by the clock after one that failed."""

from __future__ import annotations

import queue
import threading

from shared.health.aggregator import Aggregate, RunAggregator
from shared.records.timestamps import utc_now
from shared.telemetry.run import RunResult, RunState


def test_a_failed_flush_is_tried_again_by_the_clock() -> None:
    """Counts that could not be written are written later, although no further run comes."""
    taken: list[int] = []
    done = threading.Event()
    answers = iter([False, False, True])

    def flush_to(aggregate: Aggregate) -> bool:
        if not next(answers):
            return False
        taken.append(aggregate.total.records)
        done.set()
        return True

    aggregator = RunAggregator(0.01, flush_to)
    aggregator.add(RunResult("OneLogin", "Custom-OneLogin", "1", utc_now(), records=7))
    assert done.wait(30)
    assert taken == [7]


def run(records: int, status: RunState = RunState.OK) -> RunResult:
    error = ValueError("as an example") if status == RunState.FAILING else None
    return RunResult(
        "OneLogin", "Custom-OneLogin", "1", utc_now(), status, records=records, error=error
    )


def test_the_first_run_and_a_changed_state_are_flushed_soon() -> None:
    """A run like the one before waits for the interval; one that ends otherwise does not."""
    flushed: queue.Queue[Aggregate] = queue.Queue()

    def flush_to(aggregate: Aggregate) -> bool:
        flushed.put(aggregate)
        return True

    aggregator = RunAggregator(3600, flush_to, first_seconds=0.01)
    aggregator.add(run(1))
    assert flushed.get(timeout=30).total.records == 1
    aggregator.add(run(2))
    aggregator.add(run(0, RunState.FAILING))
    both = flushed.get(timeout=30)
    assert both.total.records == 2
    assert both.total.status == RunState.FAILING
    assert both.failure is not None
    assert both.success is not None
    aggregator.stop()


def test_counts_alone_change_no_outcome() -> None:
    """A redelivery adds its bytes, and a failure before it stays the last outcome."""
    flushed: list[Aggregate] = []

    def flush_to(aggregate: Aggregate) -> bool:
        flushed.append(aggregate)
        return True

    aggregator = RunAggregator(3600, flush_to)
    aggregator.add(run(0, RunState.FAILING))
    aggregator.add_counts(run(7))
    aggregator.flush()
    (aggregate,) = flushed
    assert (aggregate.total.records, aggregate.total.status) == (7, RunState.FAILING)
    assert aggregate.success is None
