"""Azure's schedules: how they are parsed, and when they tick next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.host.ncrontab import Schedule

SUNDAY = datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 */5 * * * *", "2026-03-01T12:35:00"),
        ("*/5 * * * *", "2026-03-01T12:35:00"),
        ("* * * * * *", "2026-03-01T12:34:57"),
        ("0 0 * * * *", "2026-03-01T13:00:00"),
        ("0 30 9 * * 1-5", "2026-03-02T09:30:00"),
        ("0 30 9 * * Mon-Fri", "2026-03-02T09:30:00"),
        ("0 0 0 1 Jan *", "2027-01-01T00:00:00"),
        ("0 0 0 29 2 *", "2028-02-29T00:00:00"),
        ("0 0 8-18/5 * * *", "2026-03-01T13:00:00"),
        ("15,45 34 12 * * *", "2026-03-02T12:34:15"),
        ("0 5/20 * * * *", "2026-03-01T12:45:00"),
    ],
)
def test_the_next_tick(text: str, expected: str) -> None:
    """Seconds first; lists, ranges, steps and names as NCRONTAB has them."""
    assert Schedule.parse(text).next(SUNDAY) == datetime.fromisoformat(expected + "+00:00")


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "60 * * * * *", "0 0 0 0 * *", "0 */0 * * * *", "0 x * * * *", "5-1 * * * * *"],
)
def test_what_is_no_schedule_is_refused(text: str) -> None:
    """A function with such a schedule would not load."""
    with pytest.raises(ValueError, match=r"."):
        Schedule.parse(text)


def test_a_schedule_that_never_ticks_is_refused() -> None:
    """The 30th of February does not come."""
    with pytest.raises(ValueError, match="never"):
        Schedule.parse("0 0 0 30 2 *").next(SUNDAY)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1)), st.integers(1, 59))  # noqa: DTZ001
def test_a_tick_is_later_and_no_earlier_one_was_missed(naive: datetime, step: int) -> None:
    """Every n minutes: the next tick is the first moment that fits."""
    after = naive.replace(tzinfo=UTC)
    due = Schedule.parse(f"0 */{step} * * * *").next(after)
    assert due > after
    assert (due.second, due.minute % step) == (0, 0)
    between = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while between < due:
        assert between.minute % step
        between += timedelta(minutes=1)
