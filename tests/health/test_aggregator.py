"""The aggregator's flushes: by the clock, and again by the clock after one that failed."""

from __future__ import annotations

import threading

from shared.health.aggregator import RunAggregator
from shared.records.timestamps import utc_now
from shared.telemetry.run import RunResult


def test_a_failed_flush_is_tried_again_by_the_clock() -> None:
    """Counts that could not be written are written later, although no further run comes."""
    taken: list[int] = []
    done = threading.Event()
    answers = iter([False, False, True])

    def flush_to(run: RunResult, _failure: RunResult | None) -> bool:
        if not next(answers):
            return False
        taken.append(run.records)
        done.set()
        return True

    aggregator = RunAggregator(0.01, flush_to)
    aggregator.add(RunResult("OneLogin", "Custom-OneLogin", "1", utc_now(), records=7))
    assert done.wait(30)
    assert taken == [7]
