"""A stop between every two effects of a run, enumerated: fetch, upload, checkpoint write."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest

from shared.delivery.batch import Batch
from shared.polling import pipeline
from shared.telemetry.run import RunState
from tests.guarantees.model import (
    IN_FLIGHT_BYTES,
    TABLE_FAULTS,
    ModelDestination,
    Plan,
    World,
    install,
)


@contextlib.contextmanager
def polled_never(rows: int = 60) -> Iterator[World]:
    """Twenty-nine records, some of them tied, and a stream that was never polled."""
    made = World(parallelism=4)
    made.table.exists = True
    for number in range(29):
        made.tenant.add(made.new(f"r{number}", 500 - 10 * (number // 3)))
    with pytest.MonkeyPatch.context() as patch:
        handler = install(made, patch, rows=rows)
        yield made
        pipeline.logger.removeHandler(handler)


def all_arrived(world: World) -> bool:
    return world.tenant.must_have_arrived(world.now) == set(world.tenant.arrived)


@pytest.mark.parametrize("eager", [True, False], ids=["uploads early", "uploads late"])
@pytest.mark.parametrize("done", [True, False], ids=["after it", "before it"])
def test_a_kill_at_each_effect_of_a_run_loses_nothing(*, done: bool, eager: bool) -> None:
    """Also at a checkpoint's write: the next run brings the rest, and repeats four batches."""
    kinds: Counter[str] = Counter()
    for number in count():
        with polled_never() as world:
            if world.run(Plan(kill_at=number, kill_after=done, eager=[eager])) != "killed":
                break
            kinds[world.killed_at] += 1
            assert world.tenant.repeated_bytes == 0
            assert world.run(Plan()) == RunState.OK
            assert all_arrived(world)
            assert world.tenant.repeated_bytes <= IN_FLIGHT_BYTES
    assert min(kinds[kind] for kind in ("fetch", "upload", "write")) >= 5


@pytest.mark.parametrize("fault", TABLE_FAULTS)
def test_storage_that_fails_at_any_commit_loses_nothing(fault: str) -> None:
    """The run fails, or finds that its write had landed; the next brings the rest."""
    for number in range(10):
        with polled_never() as world:
            world.run(Plan(faults={("write", number): fault}))
            assert bool(world.failures) == (fault != "answer lost")
            assert world.run(Plan()) == RunState.OK
            assert all_arrived(world)
            assert world.tenant.repeated_bytes <= (0 if fault == "answer lost" else IN_FLIGHT_BYTES)


def test_a_failed_run_that_cannot_keep_all_it_knows_says_so() -> None:
    """More arrived beside a refused batch than a checkpoint holds: the oldest may repeat."""
    with polled_never(rows=1) as world:
        world.run(Plan(faults={("upload", 4): "forbidden"}))
        assert world.tenant.overflowed
        assert world.run(Plan()) == RunState.OK
        assert all_arrived(world)


@pytest.mark.parametrize("before", [26, 28, 29])
def test_what_arrived_before_a_batch_that_fails_is_not_sent_again(before: int) -> None:
    """Not in any run: a bad record whose dead letter cannot be kept, alone in a batch or not."""
    with polled_never() as world:
        world.tenant.records = world.tenant.records[:before]
        world.tenant.add(world.new("poison", 1))
        for _ in range(4):
            world.run(Plan(faults={("dead letters", 0): "unavailable"}))
            assert world.failures
        assert len(world.tenant.arrived) == before
        assert world.tenant.repeated_bytes == 0


def test_a_fault_of_the_program_repeats_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised in whatever place: the next run knows the acknowledged records."""
    with polled_never() as world:
        upload = type(world.destination).take

        def faulty(destination: ModelDestination, batch: Batch, fault: str) -> int:
            if any(b'"r20"' in record for record in batch.records):
                raise TypeError("a fault of the program")
            return upload(destination, batch, fault)

        monkeypatch.setattr(type(world.destination), "take", faulty)
        for _ in range(4):
            world.run(Plan(eager=[True]))
            assert world.failures
        assert world.tenant.repeated_bytes == 0
        monkeypatch.undo()
