"""Random histories of several connections, polled by several instances: nothing lost or mixed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.guarantees.model import UPLOAD_FAULTS, Tenant
from tests.guarantees.model_instances import Instances, install_instances, undisturbed
from tests.guarantees.test_model import LATENESS, MOST_POISON, model_settings

pytestmark = pytest.mark.slow

NAMES = ("", "apac", "emea")
INSTANCES = 2
TICK = 300
# Until a message that was taken is shown again, a put-off poll is due, a lease lapses.
AT_MOST_UNTIL_DUE = 2_400

NAME = st.sampled_from(NAMES)
INSTANCE = st.integers(0, INSTANCES - 1)
SECONDS = st.sampled_from([0, 20, 40, 90, 300, 700, 4_000])
FROZEN = st.sampled_from([5, 29, 70, 130, 900])
TURNS = st.integers(1, 160)
COUNT = st.integers(0, 20)
SEED = st.integers(0, 2**16)
STORAGE = st.sampled_from(["unavailable", "given up", "answer lost"])
FAULT = st.one_of(
    st.tuples(st.just("fetch"), st.just("HTTP 503")),
    st.tuples(st.just("upload"), st.sampled_from(UPLOAD_FAULTS)),
    st.tuples(st.sampled_from(["read", "write"]), STORAGE),
    st.tuples(st.just("dead letters"), st.just("no blobs")),
    st.tuples(
        st.sampled_from([f"lease {what}" for what in ("acquire", "renew", "release", "write")]),
        STORAGE,
    ),
    st.tuples(st.sampled_from(["lease list", "lease read", "lease create"]), STORAGE),
    st.tuples(st.sampled_from([f"queue {what}" for what in ("put", "take", "delete")]), STORAGE),
    st.tuples(st.just("queue show"), STORAGE),
)


class Apps(RuleBasedStateMachine):
    """Three connections, two of which share a destination, on instances that die and freeze."""

    @initialize(
        order=st.sampled_from(["time", "time", "newest first", "listing"]),
        slow=st.sampled_from([0, 1, 8]),
    )
    def begin(self, order: str, slow: int) -> None:
        self.patch = pytest.MonkeyPatch()
        self.tenants = {
            name: Tenant(name, letter) for name, letter in zip(NAMES, "xyz", strict=True)
        }
        mine, apac, emea = self.tenants.values()
        self.app = Instances([[mine, apac], [emea]], INSTANCES, order)
        self.undo = install_instances(self.app, self.patch)
        self.slow_down(slow, slow, slow / 8)
        self.numbers = dict.fromkeys(NAMES, 0)
        self.poisoned = 0

    def _new(self, name: str, lateness: float) -> dict[str, Any]:
        self.numbers[name] += 1
        return self.app.world.new(f"r{self.numbers[name]}", lateness)

    @rule(
        name=NAME, lateness=LATENESS, count=st.integers(1, 30), apart=st.sampled_from([0, 0, 1, 7])
    )
    def arrive(self, name: str, lateness: int, count: int, apart: int) -> None:
        for number in range(count):
            self.tenants[name].add(self._new(name, max(lateness - number * apart, 0)))

    @precondition(lambda self: self.poisoned < MOST_POISON)
    @rule(name=NAME, lateness=LATENESS)
    def arrive_as_poison(self, name: str, lateness: int) -> None:
        self.poisoned += 1
        record = {**self._new(name, lateness), "id": f"poison{self.poisoned}"}
        self.tenants[name].add(record)

    @rule(name=NAME, data=st.data())
    def update(self, name: str, data: st.DataObject) -> None:
        tenant = self.tenants[name]
        # Paging by offset skips a record where one before it leaves the window: audit records stay.
        if self.app.order == "newest first" and self.app.is_read(tenant):
            return
        if tenant.records:
            key = data.draw(st.sampled_from(tenant.records))
            tenant.records.remove(key)
            tenant.add(self.app.world.new(key[1], 0))

    @rule(instance=INSTANCE, times=st.sampled_from([1, 1, 3]), seed=SEED, seconds=SECONDS)
    def tick_and_work(self, instance: int, times: int, seed: int, seconds: int) -> None:
        for _ in range(times):
            self.app.tick(instance)
        self.app.go_on(seed, seconds=seconds)

    @rule(seed=SEED, turns=TURNS)
    def work_for_turns(self, seed: int, turns: int) -> None:
        """Leave runs in the middle of whatever they do."""
        self.app.go_on(seed, seconds=600, turns=turns)

    @rule(seed=SEED, seconds=SECONDS)
    def work_for_a_time(self, seed: int, seconds: int) -> None:
        self.app.go_on(seed, seconds=seconds)

    def _leave_at_work(self, instance: int, count: int, seed: int, turns: int) -> None:
        """New records everywhere, a tick, and polls that are in the middle of whatever they do."""
        for name in NAMES:
            self.arrive(name, 0, count, 1)
        self.app.tick(instance)
        self.app.go_on(seed, seconds=600, turns=turns)

    @rule(instance=INSTANCE, count=COUNT, seed=SEED, turns=TURNS)
    def kill_at_work(self, instance: int, count: int, seed: int, turns: int) -> None:
        self._leave_at_work(instance, count, seed, turns)
        self.app.kill(instance)
        self.app.go_on(seed, turns=turns)

    @rule(instance=INSTANCE, count=COUNT, seed=SEED, turns=TURNS, seconds=FROZEN)
    def freeze_at_work(
        self, instance: int, count: int, seed: int, turns: int, seconds: int
    ) -> None:
        """What is worked on is shown again meanwhile, and the other instance takes it."""
        self._leave_at_work(instance, count, seed, turns)
        self.app.freeze(instance, seconds)
        self.app.tick(1 - instance)
        self.app.go_on(seed, seconds=seconds, turns=3 * turns)

    @rule(count=COUNT, seed=SEED, turns=TURNS)
    def show_messages_twice(self, count: int, seed: int, turns: int) -> None:
        self._leave_at_work(0, count, seed, turns)
        self.app.queue.show_all()
        self.app.go_on(seed, turns=turns)

    @rule(
        count=COUNT,
        seed=SEED,
        turns=TURNS,
        strike=st.sampled_from(["fetch", "upload", "storage", "lease", "fall silent", "take away"]),
        name=NAME,
        seconds=st.sampled_from([90, 90, 2_000]),
    )
    def fail_at_work(  # noqa: PLR0917  (drawn by name)
        self, count: int, seed: int, turns: int, strike: str, name: str, seconds: int
    ) -> None:
        """A service is down, or a connection's vendor, or the connection is taken out."""
        self._leave_at_work(0, count, seed, turns)
        if strike == "fall silent":
            self.tenants[name].answers = False
        elif strike == "take away":
            self.app.set_up.discard(name)
        else:
            self.app.down.add(strike)
            self.app.storage_was_well &= strike not in ("storage", "lease")
        self.app.go_on(seed, seconds=seconds)

    @rule(instance=INSTANCE, after=st.integers(0, 60), done=st.booleans())
    def kill_soon(self, instance: int, after: int, done: bool) -> None:
        process = self.app.processes[instance]
        process.plan.kill_at = process.effects + after
        process.plan.kill_after = done

    @rule(
        instance=INSTANCE,
        fault=FAULT,
        after=st.integers(0, 6),
        times=st.sampled_from([1, 1, 2, 20, 200]),
    )
    def disturb(self, instance: int, fault: tuple[str, str], after: int, times: int) -> None:
        process = self.app.processes[instance]
        kind, what = fault
        self.app.storage_was_well &= not kind.startswith("lease")
        first = process.counts[kind] + after
        for number in range(first, first + times):
            process.plan.faults[kind, number] = what

    @rule(
        instance=INSTANCE,
        eager=st.lists(st.booleans(), max_size=5),
        refuse=st.booleans(),
        ahead=st.sampled_from([-600, -61, 0, 3, 600]),
    )
    def change_a_host(self, instance: int, eager: list[bool], refuse: bool, ahead: int) -> None:
        process = self.app.processes[instance]
        process.plan.eager, process.plan.refuse_cursor = eager, refuse
        process.host_ahead = timedelta(seconds=ahead)

    @rule(
        fetch=st.sampled_from([0, 1, 8, 25, 70]),
        upload=st.sampled_from([0, 1, 8, 25, 45]),
        storage=st.sampled_from([0, 0, 1, 4]),
    )
    def slow_down(self, fetch: float, upload: float, storage: float) -> None:
        self.app.storage_was_well &= storage <= 1
        self.app.slow = {"fetch": fetch, "upload": upload, "storage": storage}

    @rule()
    def be_well_again(self) -> None:
        self.app.down.clear()
        self.app.set_up = set(NAMES)
        for tenant in self.tenants.values():
            tenant.answers = True

    def _repeats_are_bounded(self) -> None:
        for name, tenant in self.tenants.items():
            assert tenant.repeats_are_bounded(), name

    def teardown(self) -> None:
        if not hasattr(self, "app"):
            return
        try:
            self._all_arrives()
        finally:
            self.app.fibers.end()
            self.undo()
            self.patch.undo()

    def _all_arrives(self) -> None:
        """Once all is well: everything arrives, nothing more, and nothing is left behind."""
        app = self.app
        app.slow = dict.fromkeys(app.slow, 0.0)
        app.down.clear()
        app.set_up = set(NAMES)
        for process in app.processes:
            process.plan = undisturbed()
            process.host_ahead = timedelta()
            process.frozen_until = min(process.frozen_until, app.world.now)
        for tenant in self.tenants.values():
            tenant.answers = True
        app.go_on(0, seconds=AT_MOST_UNTIL_DUE)
        for number in range(2):
            app.tick(number % INSTANCES)
            app.go_on(number, seconds=TICK)
        for name, tenant in self.tenants.items():
            assert tenant.must_have_arrived(app.world.now) <= tenant.settled(), name
        self._repeats_are_bounded()
        before, polls = (
            [sum(tenant.arrived.values()) for tenant in self.tenants.values()],
            app.polls,
        )
        app.tick(0)
        app.go_on(0, seconds=TICK)
        assert [sum(tenant.arrived.values()) for tenant in self.tenants.values()] == before
        assert app.polls == polls + len(NAMES)
        assert app.queue.alive() == []
        assert app.poisoned == []
        assert not any(app.container.holder(name) for name in app.container.blobs)


TestApps = Apps.TestCase
TestApps.__doc__ = "Whatever happens to instances, each record arrives where it belongs."
TestApps.settings = model_settings(examples=40, steps=30)
