"""The pause before a retry doubles, ends at its cap, and differs from retry to retry."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.backoff import exponential_backoff, jittered


def test_each_retry_waits_twice_as_long_until_the_cap() -> None:
    """The first pause is ``first`` itself; no count of retries exceeds the cap."""
    pauses = [exponential_backoff(retries, first=0.5, cap=30) for retries in range(8)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]


@given(st.integers(min_value=0), st.floats(0.1, 60), st.floats(60, 900))
def test_any_stored_count_of_retries_gives_a_pause(retries: int, first: float, cap: float) -> None:
    """A count read from a message may be any number, and overflows nothing."""
    assert first <= exponential_backoff(retries, first=first, cap=cap) <= cap


def test_jitter_shortens_by_at_most_half_and_varies() -> None:
    """Clients that failed together do not retry together."""
    pauses = {jittered(8.0) for _ in range(50)}
    assert all(4.0 <= pause <= 8.0 for pause in pauses)
    assert len(pauses) > 1
