"""Halving, tolerance, retries and their bounds, against a sink that decides by record."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.batch import Batch
from shared.delivery.batch_sender import BatchSender
from shared.delivery.dead_letters import Refused
from shared.errors import (
    BatchRefused,
    BatchTooLarge,
    DestinationRefused,
    DestinationUnavailable,
    RuleRefusesRecords,
    StorageUnavailable,
)

STREAM = "Custom-Test"


class Judge:
    """A sink that refuses batches by their records, and keeps the records it takes."""

    name = "judge"

    def __init__(self, bad: Callable[[bytes], bool] = lambda _: False, limit: int = 10**9) -> None:
        self.bad = bad
        self.limit = limit
        self.taken: list[bytes] = []
        self.faults: list[Exception] = []
        self.uploads = 0
        self.sign_ins = 0
        self.gone_after = 10**9

    def declared(self, stream: str) -> frozenset[str] | None:
        return None

    def upload(self, batch: Batch, timeout: float) -> int:
        self.uploads += 1
        if self.uploads > self.gone_after:
            raise DestinationUnavailable("gone")
        if self.faults:
            raise self.faults.pop(0)
        if batch.size > self.limit:
            raise BatchTooLarge("too large")
        if any(map(self.bad, batch.records)):
            raise BatchRefused("InvalidRecord: a field holds Ada Lovelace")
        self.taken += batch.records
        return batch.size

    def renew_sign_in(self) -> None:
        self.sign_ins += 1

    def close(self) -> None:
        """Do nothing: no connection is open."""


class Kept:
    """Dead letters in a list; ``broken`` makes the storage fail."""

    def __init__(self, *, broken: bool = False) -> None:
        self.refused: list[Refused] = []
        self.broken = broken

    def put(self, stream: str, refused: Sequence[Refused]) -> None:
        if self.broken:
            raise StorageUnavailable("no storage")
        self.refused += refused


class Clock:
    """A clock that only ``sleep`` advances."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def delivery_to(judge: Judge, kept: Kept, clock: Clock | None = None) -> BatchSender:
    clock = clock or Clock()
    return BatchSender(judge, kept, clock=clock, sleep=clock.sleep)


def batch_of(count: int) -> Batch:
    return Batch(STREAM, [b'{"n":%d}' % number for number in range(count)])


def numbers(bad: set[int]) -> Callable[[bytes], bool]:
    marks = {b'{"n":%d}' % number for number in bad}
    return lambda record: record in marks


@given(st.data())
def test_refused_records_end_alone_while_their_neighbours_arrive(data: st.DataObject) -> None:
    """Up to ten bad records become dead letters; the others arrive in order."""
    count = data.draw(st.integers(2, 300))
    bad = data.draw(st.sets(st.integers(0, count - 1), max_size=min(10, count - 1)))
    judge, kept = Judge(numbers(bad)), Kept()

    done = delivery_to(judge, kept).deliver(batch_of(count), deadline=200.0)

    expected = [record for n, record in enumerate(batch_of(count).records) if n not in bad]
    assert judge.taken == expected
    assert [refused.record for refused in kept.refused] == [b'{"n":%d}' % n for n in sorted(bad)]
    assert {(refused.status, refused.message[:13]) for refused in kept.refused} <= {
        (400, "InvalidRecord")
    }
    assert (done.accepted, done.dead_lettered) == (count - len(bad), len(bad))
    assert done.requests == judge.uploads


@given(st.integers(1, 200), st.integers(40, 400))
def test_a_batch_too_large_is_halved_until_it_fits(count: int, limit: int) -> None:
    """413 halves: every record arrives once and in order, in calls that fit."""
    judge, kept = Judge(limit=limit), Kept()
    delivery_to(judge, kept).deliver(batch_of(count), deadline=200.0)
    assert judge.taken == batch_of(count).records
    assert kept.refused == []


def test_a_lone_record_too_large_is_a_dead_letter() -> None:
    """A single record refused with 413 cannot be halved: it becomes a dead letter."""
    judge, kept = Judge(limit=5), Kept()
    done = delivery_to(judge, kept).deliver(batch_of(1), deadline=200.0)
    assert [refused.status for refused in kept.refused] == [413]
    assert done.dead_lettered == 1


def test_a_rule_that_refuses_everything_drops_nothing() -> None:
    """Nothing of a batch accepted: an error, no dead letter, and only a few requests."""
    judge, kept = Judge(lambda _: True), Kept()
    with pytest.raises(RuleRefusesRecords, match="data collection rule") as raised:
        delivery_to(judge, kept).deliver(batch_of(1000), deadline=200.0)
    assert kept.refused == []
    assert raised.value.accepted == ()
    assert judge.uploads < 50
    assert "InvalidRecord" in str(raised.value)
    assert "Lovelace" not in str(raised.value)


def test_all_of_a_small_batch_refused_is_the_rules_fault() -> None:
    """Three refused of three raise, although ten refused records would be tolerated."""
    judge, kept = Judge(lambda _: True), Kept()
    with pytest.raises(RuleRefusesRecords):
        delivery_to(judge, kept).deliver(batch_of(3), deadline=200.0)
    assert kept.refused == []


def test_more_than_ten_refused_of_few_is_the_rules_fault() -> None:
    """The eleventh refused record of a small run raises, naming what was accepted."""
    bad = set(range(0, 110, 10))
    judge, kept = Judge(numbers(bad)), Kept()
    with pytest.raises(RuleRefusesRecords) as raised:
        delivery_to(judge, kept).deliver(batch_of(110), deadline=200.0)
    assert kept.refused == []
    records = batch_of(110).records
    assert [records[index] for index in raised.value.accepted] == judge.taken
    assert raised.value.settled == raised.value.accepted


def test_one_percent_of_a_long_run_is_tolerated() -> None:
    """More than ten bad records are dead letters if they are at most 1 % of the run."""
    judge, kept = Judge(lambda record: record.endswith(b'99"}')), Kept()
    delivery = delivery_to(judge, kept)
    for start in range(0, 3000, 500):
        chunk = [b'{"n":"%d"}' % number for number in range(start, start + 500)]
        delivery.deliver(Batch(STREAM, chunk), deadline=200.0)
    assert len(kept.refused) == 30
    assert delivery.counters.accepted == 2970


def test_tolerance_is_counted_over_the_run() -> None:
    """Ten refused records use up a run's tolerance; a later batch's first one raises."""
    judge, kept = Judge(numbers({0, 1})), Kept()
    delivery = delivery_to(judge, kept)
    for _ in range(5):
        delivery.deliver(batch_of(4), deadline=200.0)
    with pytest.raises(RuleRefusesRecords):
        delivery.deliver(batch_of(4), deadline=200.0)
    assert len(kept.refused) == 10


def test_a_dead_letter_that_cannot_be_kept_fails_the_batch() -> None:
    """A refused record that cannot be stored is not settled, but its neighbours are."""
    judge = Judge(numbers({1}))
    with pytest.raises(StorageUnavailable) as raised:
        delivery_to(judge, Kept(broken=True)).deliver(batch_of(4), deadline=200.0)
    records = batch_of(4).records
    assert [records[index] for index in raised.value.settled] == judge.taken
    assert len(judge.taken) == 3


def test_unavailable_is_retried_until_it_is_not() -> None:
    """Without Retry-After the waits grow, with jitter, until the batch is taken."""
    clock, judge = Clock(), Judge()
    judge.faults = [DestinationUnavailable("busy", status=503) for _ in range(5)]
    done = delivery_to(judge, Kept(), clock).deliver(batch_of(3), deadline=1000.0)
    assert done.retries == 5
    assert done.accepted == 3
    for number, slept in enumerate(clock.slept):
        assert 0.25 * 2**number <= slept <= 0.5 * 2**number


def test_retry_after_is_waited_for() -> None:
    """The pause is the Retry-After of the response, to the second."""
    clock, judge = Clock(), Judge()
    judge.faults = [DestinationUnavailable("busy", status=429, retry_after=17.0)]
    delivery_to(judge, Kept(), clock).deliver(batch_of(1), deadline=1000.0)
    assert clock.slept == [17.0]


def test_a_retry_after_of_nothing_is_no_leave_to_hurry() -> None:
    """Retry-After 0 backs off: a host ahead of Azure's clock reads every date as 0."""
    clock, judge = Clock(), Judge()
    judge.faults = [DestinationUnavailable("busy", status=429, retry_after=0.0) for _ in range(4)]
    delivery_to(judge, Kept(), clock).deliver(batch_of(1), deadline=1000.0)
    for number, slept in enumerate(clock.slept):
        assert 0.25 * 2**number <= slept <= 0.5 * 2**number


def test_a_wait_past_the_deadline_is_not_begun() -> None:
    """A Retry-After beyond the deadline raises at once."""
    clock, judge = Clock(), Judge()
    judge.faults = [DestinationUnavailable("busy", status=429, retry_after=60.0)]
    with pytest.raises(DestinationUnavailable):
        delivery_to(judge, Kept(), clock).deliver(batch_of(1), deadline=130.0)
    assert clock.slept == []


def test_an_outage_ends_at_the_deadline() -> None:
    """A sink that stays unavailable raises before the deadline, not after."""
    clock, judge = Clock(), Judge()
    judge.faults = [DestinationUnavailable("gone") for _ in range(10_000)]
    with pytest.raises(DestinationUnavailable):
        delivery_to(judge, Kept(), clock).deliver(batch_of(1), deadline=400.0)
    assert 340.0 < clock.now <= 400.0


def test_nothing_is_sent_after_the_deadline() -> None:
    """Without time left, no upload begins."""
    judge = Judge()
    with pytest.raises(DestinationUnavailable):
        delivery_to(judge, Kept()).deliver(batch_of(1), deadline=100.0)
    assert judge.uploads == 0


def test_one_401_signs_in_anew() -> None:
    """An expired token costs one more request, and no record."""
    judge = Judge()
    judge.faults = [DestinationRefused("expired", status=401)]
    done = delivery_to(judge, Kept()).deliver(batch_of(2), deadline=200.0)
    assert judge.sign_ins == 1
    assert done.accepted == 2


@pytest.mark.parametrize("statuses", [[401, 401], [403], [404]])
def test_a_refusal_is_not_retried_and_kills_no_record(statuses: list[int]) -> None:
    """A second 401, a 403 and a 404 raise at once; nothing becomes a dead letter."""
    judge, kept = Judge(), Kept()
    judge.faults = [DestinationRefused("no", status=status) for status in statuses]
    with pytest.raises(DestinationRefused):
        delivery_to(judge, kept).deliver(batch_of(2), deadline=200.0)
    assert judge.uploads == len(statuses)
    assert kept.refused == []


def test_what_arrived_before_an_outage_is_named() -> None:
    """An error during halving lists the records that have arrived."""
    judge = Judge(numbers({3}))
    judge.gone_after = 2
    with pytest.raises(DestinationUnavailable) as raised:
        delivery_to(judge, Kept()).deliver(batch_of(4), deadline=100.4)
    records = batch_of(4).records
    assert [records[index] for index in raised.value.settled] == judge.taken == list(records[:2])
