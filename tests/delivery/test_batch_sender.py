"""Halving, tolerance, retries and their bounds, against a sink that decides by record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.batch import Batch
from shared.delivery.batch_sender import BatchSender
from shared.delivery.dead_letters import Refused
from shared.delivery.refusals import RefusalTally
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

    def put(self, stream: str, refused: Sequence[Refused], connection: str = "") -> None:
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
    """Bad records become dead letters, wherever they stand; each of the others arrives once."""
    count = data.draw(st.integers(2, 300))
    bad = data.draw(st.sets(st.integers(0, count - 1), max_size=count // 3))
    judge, kept = Judge(numbers(bad)), Kept()

    done = delivery_to(judge, kept).deliver(batch_of(count), deadline=200.0)

    expected = [record for n, record in enumerate(batch_of(count).records) if n not in bad]
    assert sorted(judge.taken) == sorted(expected)
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


@pytest.mark.parametrize("first", [0, 275, 550])
def test_fifty_of_six_hundred_refused_stop_nothing(first: int) -> None:
    """550 arrive and 50 are dead letters, also where all bad records stand together."""
    judge, kept = Judge(numbers(set(range(first, first + 50)))), Kept()
    done = delivery_to(judge, kept).deliver(batch_of(600), deadline=200.0)
    assert (done.accepted, done.dead_lettered) == (550, 50)
    assert len(set(judge.taken)) == len(judge.taken) == 550
    assert len(kept.refused) == 50
    assert judge.uploads < 150


@pytest.mark.parametrize("count", [1, 2, 9])
def test_bad_records_alone_in_a_window_are_set_aside(count: int) -> None:
    """Up to nine records, all refused, are dead letters: nothing says that the rule is wrong."""
    judge, kept = Judge(lambda _: True), Kept()
    done = delivery_to(judge, kept).deliver(batch_of(count), deadline=200.0)
    assert (done.accepted, done.dead_lettered) == (0, count)
    assert len(kept.refused) == count


def test_a_rule_that_refuses_everything_sets_aside_at_most_ten() -> None:
    """Over many batches of a run, too: a few records aside, tens of requests, then errors."""
    judge, kept = Judge(lambda _: True), Kept()
    delivery = delivery_to(judge, kept)
    failed = 0
    for size in (2, 3, 200, 200, 200):
        try:
            delivery.deliver(batch_of(size), deadline=200.0)
        except RuleRefusesRecords:
            failed += 1
    assert failed == 3
    assert len(kept.refused) == 5
    assert judge.uploads < 100


def test_batches_in_flight_learn_of_the_verdict() -> None:
    """Four batches at once of a rule that refuses everything cost tens of requests together."""
    judge, kept = Judge(lambda _: True), Kept()
    delivery = delivery_to(judge, kept)
    with ThreadPoolExecutor(4) as pool:
        uploads = [pool.submit(delivery.deliver, batch_of(1000), 200.0) for _ in range(4)]
        errors = [upload.exception() for upload in uploads]
    assert [type(error) for error in errors] == [RuleRefusesRecords] * 4
    assert kept.refused == []
    assert judge.uploads < 130


def test_over_half_of_a_hundred_refused_is_the_rules_fault() -> None:
    """A rule that turns wrong in the middle of a run is noticed, naming what was accepted."""
    judge, kept = Judge(numbers(set(range(40, 600)))), Kept()
    with pytest.raises(RuleRefusesRecords) as raised:
        delivery_to(judge, kept).deliver(batch_of(600), deadline=200.0)
    assert kept.refused == []
    records = batch_of(600).records
    assert sorted(records[index] for index in raised.value.accepted) == sorted(judge.taken)
    assert raised.value.settled == raised.value.accepted


def test_an_accepted_record_clears_a_rule_that_was_wrong() -> None:
    """A tally that outlives runs blames the rule until a record arrives, and not after."""
    tally, judge, kept = RefusalTally(), Judge(lambda _: True), Kept()

    def run(count: int) -> None:
        clock = Clock()
        sender = BatchSender(judge, kept, clock=clock, sleep=clock.sleep, tally=tally)
        sender.deliver(batch_of(count), deadline=200.0)

    for _ in range(2):
        with pytest.raises(RuleRefusesRecords):
            run(20)
    judge.bad = numbers({3})
    run(20)
    assert not tally.blames_rule
    assert len(kept.refused) == 1
    assert len(judge.taken) == 19


def test_whole_batches_are_not_bisected() -> None:
    """``deliver_whole`` costs one upload, whether it is accepted or refused."""
    judge = Judge(numbers({3}))
    delivery = delivery_to(judge, Kept())
    assert not delivery.deliver_whole(batch_of(4), 200.0)
    assert delivery.deliver_whole(batch_of(3), 200.0)
    assert judge.uploads == 2
    assert delivery.counters.accepted == 3


def test_a_single_try_is_a_single_upload() -> None:
    """``max_tries`` 1: an outage costs one request, and nothing waits."""
    clock, judge = Clock(), Judge()
    judge.faults = [DestinationUnavailable("busy", status=503) for _ in range(5)]
    sender = BatchSender(judge, Kept(), clock=clock, sleep=clock.sleep, max_tries=1)
    with pytest.raises(DestinationUnavailable):
        sender.deliver(batch_of(3), deadline=1000.0)
    assert judge.uploads == 1
    assert clock.slept == []


def test_a_renewed_sign_in_lifts_no_limit_of_tries() -> None:
    """A 401 before an outage costs its own request, and no further try."""
    clock, judge = Clock(), Judge()
    busy = [DestinationUnavailable("busy", status=503) for _ in range(5)]
    judge.faults = [DestinationRefused("expired", status=401), *busy]
    sender = BatchSender(judge, Kept(), clock=clock, sleep=clock.sleep, max_tries=1)
    with pytest.raises(DestinationUnavailable):
        sender.deliver(batch_of(3), deadline=1000.0)
    assert judge.uploads == 2
    assert clock.slept == []


def test_a_dead_letter_that_cannot_be_kept_fails_the_batch() -> None:
    """A refused record that cannot be stored is not settled, but its neighbours are."""
    judge = Judge(numbers({1}))
    with pytest.raises(StorageUnavailable) as raised:
        delivery_to(judge, Kept(broken=True)).deliver(batch_of(4), deadline=200.0)
    records = batch_of(4).records
    assert [records[index] for index in raised.value.settled] == sorted(judge.taken)
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
