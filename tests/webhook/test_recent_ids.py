"""Recent ids: a safe event is not sent again, and no event counts as safe before it is."""

from __future__ import annotations

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from shared.webhook.recent_ids import Claim, RecentIds


def soon() -> float:
    return time.monotonic() + 5


def test_an_id_that_is_safe_is_claimed_by_no_request() -> None:
    """An id released as safe is neither claimed nor waited for again."""
    recent = RecentIds()
    claim = recent.claim(["a", "b"])
    recent.release(claim, ["a", "b"])
    again = recent.claim(["a", "b", "c"])
    assert again == Claim(mine=frozenset("c"), others=frozenset())


def test_what_failed_is_anybodys_to_send() -> None:
    """An id that was not delivered is claimed by the next request that carries it."""
    recent = RecentIds()
    recent.release(recent.claim(["a", "b"]), ["b"])
    assert recent.claim(["a", "b"]).mine == {"a"}


def test_an_id_on_its_way_is_waited_for() -> None:
    """A second request with the same event learns that the first one brought it to safety."""
    recent = RecentIds()
    first = recent.claim(["a"])
    second = recent.claim(["a", "b"])
    assert second == Claim(mine=frozenset("b"), others=frozenset("a"))

    release = threading.Timer(0.05, recent.release, [first, ["a"]])
    release.start()
    assert recent.wait(second, soon()) is True
    release.join()


def test_an_id_that_failed_elsewhere_is_not_safe() -> None:
    """If the first request failed, the second must not report the event as safe."""
    recent = RecentIds()
    first = recent.claim(["a"])
    second = recent.claim(["a"])
    recent.release(first, [])
    assert recent.wait(second, soon()) is False


def test_waiting_ends_at_the_deadline() -> None:
    """An event whose outcome stays unknown does not count as safe."""
    recent = RecentIds()
    recent.claim(["a"])
    assert recent.wait(recent.claim(["a"]), time.monotonic()) is False


@given(st.lists(st.integers(0, 40).map(str), max_size=100), st.integers(1, 20))
def test_only_the_last_ids_are_remembered(names: list[str], limit: int) -> None:
    """Of the ids that became safe, exactly the last distinct ones are remembered."""
    recent = RecentIds(limit)
    order: list[str] = []
    for name in names:
        claim = recent.claim([name])
        assert bool(claim.mine) is (name not in order[-limit:])
        if claim.mine:
            order.append(name)
        recent.release(claim, claim.mine)


def test_the_last_ten_thousand_are_known() -> None:
    """What docs/guarantees.md says of repeats: the oldest id goes first, and no other."""
    ids, names = RecentIds(), [str(number) for number in range(10_001)]
    ids.release(ids.claim(names), names)
    assert ids.claim(names).mine == {"0"}
