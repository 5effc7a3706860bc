"""Random histories of a stream: nothing lost, repeats bounded."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from shared.polling import pipeline
from shared.records.timestamps import isoformat
from shared.telemetry.run import RunState
from tests.guarantees.model import (
    OVERLAP,
    UPLOAD_FAULTS,
    Plan,
    World,
    install,
)

LATENESS = st.sampled_from([0, 0, 1, 59, 300, 599, 600])
TABLE = st.sampled_from(["unavailable", "given up", "answer lost"])
FAULT = st.one_of(
    st.tuples(st.just(("fetch",)), st.just("HTTP 503")),
    st.tuples(st.just(("upload",)), st.sampled_from(UPLOAD_FAULTS)),
    st.tuples(st.just(("write",)), TABLE),
    st.tuples(st.just(("read",)), st.just("unavailable")),
    st.tuples(st.just(("dead letters",)), st.just("no blobs")),
)
FAULTS = st.dictionaries(st.integers(0, 6), FAULT, max_size=3).map(
    lambda found: {(kind[0], number): what for number, (kind, what) in found.items()}
)

# Nine records refused alone never blame the rule, whatever a run accepts.
MOST_POISON = 7


class Histories(RuleBasedStateMachine):
    """A vendor, a timer that is killed and restarted, clocks that move, and Azure Monitor."""

    @initialize(
        parallelism=st.sampled_from([1, 4]),
        order=st.sampled_from(["time", "time", "newest first", "listing"]),
        rows=st.sampled_from([2, 60]),
    )
    def begin(self, parallelism: int, order: str, rows: int) -> None:
        self.patch = pytest.MonkeyPatch()
        self.world = World(
            parallelism=parallelism if order == "time" else 1,
            newest_first=order == "newest first",
            by_listing=order == "listing",
        )
        self.tenant = self.world.tenant
        self.handler = install(self.world, self.patch, rows=rows)
        self.number = 0
        self.poisoned = 0

    def _sorts_by_time(self) -> bool:
        return not (self.world.source.newest_first or self.world.source.by_listing)

    def _next_id(self) -> str:
        self.number += 1
        return f"r{self.number}"

    def _new(self, lateness: float) -> dict[str, Any]:
        return self.world.new(self._next_id(), lateness)

    @rule(lateness=LATENESS, count=st.integers(1, 12), apart=st.sampled_from([0, 0, 1, 7]))
    def arrive(self, lateness: int, count: int, apart: int) -> None:
        for number in range(count):
            self.tenant.add(self._new(max(lateness - number * apart, 0)))

    @rule(lateness=LATENESS, count=st.integers(15, 40))
    def arrive_at_one_moment(self, lateness: int, count: int) -> None:
        for _ in range(count):
            self.tenant.add(self._new(lateness))

    @precondition(lambda self: not self.tenant.sorted_at and self._sorts_by_time())
    @rule(lateness=LATENESS, early=st.sampled_from([1, 60, 86_400]))
    def arrive_and_be_listed_early(self, lateness: int, early: int) -> None:
        record = self._new(lateness)
        sorted_at = self.world.now - timedelta(seconds=lateness + early)
        self.tenant.sorted_at[record["id"]] = isoformat(sorted_at)
        self.tenant.add(record)

    # A vendor that sorts by listing stamps events itself: none has a time to come.
    @precondition(lambda self: not self.world.source.by_listing)
    @rule(ahead=st.sampled_from([1, 300, 7200]))
    def arrive_with_a_time_in_the_future(self, ahead: int) -> None:
        self.tenant.add(self._new(-ahead))

    @precondition(lambda self: self.poisoned < MOST_POISON)
    @rule(lateness=LATENESS, count=st.integers(1, 3))
    def arrive_as_poison(self, lateness: int, count: int) -> None:
        for _ in range(count):
            self.poisoned += 1
            self.tenant.add({**self._new(lateness), "id": f"poison{self.poisoned}"})

    @precondition(lambda self: self.tenant.records)
    @rule(data=st.data())
    def update(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self.tenant.records))
        self.tenant.records.remove(key)
        self.tenant.add({"id": key[1], "at": isoformat(self.world.now)})

    @rule(seconds=st.sampled_from([1, 60, 300, 700, 86_400]))
    def pass_time(self, seconds: int) -> None:
        self.world.now += timedelta(seconds=seconds, milliseconds=337)

    @rule(seconds=st.sampled_from([-600, -61, 0, 3, 600]))
    def move_the_hosts_clock(self, seconds: int) -> None:
        self.world.host_ahead = timedelta(seconds=seconds)

    @rule(
        kill_at=st.none() | st.integers(0, 25),
        kill_after=st.booleans(),
        pages=st.none() | st.integers(0, 8),
        eager=st.lists(st.booleans(), max_size=5),
        faults=FAULTS,
        other_host_at=st.none() | st.none() | st.integers(0, 20),
        late=st.dictionaries(st.integers(1, 6), LATENESS, max_size=3),
        seconds_a_page=st.sampled_from([0, 1, 100]),
        refuse_cursor=st.sampled_from([False, False, True]),
    )
    def tick(self, late: dict[int, int], **plan: Any) -> None:
        arrivals = {page: (self._next_id(), lateness) for page, lateness in late.items()}
        self.world.run(Plan(arrivals=arrivals, **plan))
        self._repeats_are_bounded()

    @rule(pages=st.integers(1, 3))
    def tick_in_short_runs(self, pages: int) -> None:
        """Every run gets on: runs of a page or a few bring all, however many are tied."""
        expected = (
            self.tenant.must_have_arrived(self.world.now)
            if self.world.host_ahead >= timedelta()
            else set()
        )
        for _ in range(1_000):
            status = self.world.run(Plan(pages=pages, seconds_a_page=0))
            assert status != RunState.FAILING, self.world.failures
            # With a host's clock that is ahead, each window that ends is followed by another.
            if status != RunState.CATCHING_UP or expected <= self._arrived():
                break
        else:
            raise AssertionError("a thousand runs came no further")
        self._repeats_are_bounded()

    @rule()
    def tick_undisturbed(self) -> None:
        on_time = self.world.host_ahead >= timedelta() and not self.world.window_is_open()
        expected = self.tenant.must_have_arrived(self.world.now) if on_time else set()
        status = self.world.run(Plan(seconds_a_page=0))
        assert status in (RunState.OK, RunState.LATE), self.world.failures
        assert expected <= self._arrived()
        self._repeats_are_bounded()

    def _arrived(self) -> set[str]:
        return self.tenant.settled()

    def _repeats_are_bounded(self) -> None:
        assert self.tenant.repeats_are_bounded()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.world.host_ahead = timedelta()
            self.world.now += OVERLAP
            for _ in range(2):
                assert self.world.run(Plan()) in (RunState.OK, RunState.LATE), self.world.failures
            assert self.tenant.must_have_arrived(self.world.now) <= self._arrived()
            before = sum(self.tenant.arrived.values())
            assert self.world.run(Plan(seconds_a_page=0)) in (RunState.OK, RunState.LATE), (
                self.world.failures
            )
            if not self.tenant.overflowed:
                assert sum(self.tenant.arrived.values()) == before
            self._repeats_are_bounded()
        finally:
            pipeline.logger.removeHandler(self.handler)
            self.patch.undo()


def model_settings(examples: int, steps: int) -> settings:
    """So many histories of so many steps; ``MODEL_EXAMPLES`` has it look for more."""
    quick = (Phase.shrink,) if os.environ.get("MODEL_QUICK") else ()
    return settings(
        max_examples=int(os.environ.get("MODEL_EXAMPLES", examples)),
        stateful_step_count=steps,
        deadline=None,
        phases=[phase for phase in Phase if phase not in (Phase.explain, *quick)],
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )


TestHistories = Histories.TestCase
TestHistories.__doc__ = "Whatever happens, every record arrives, and only kills make some repeat."
TestHistories.settings = model_settings(examples=150, steps=20)
