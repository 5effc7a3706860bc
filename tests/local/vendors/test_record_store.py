"""A vendor's records, whatever is asked of them: the same as a plain sort and filter would say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from local.vendors.record_store import Between, Collection, microseconds

START = datetime(2026, 3, 1, tzinfo=UTC)
moments = st.integers(0, 12)  # few, so that ties are many
maybe = st.none() | moments


def record(number: int, second: int, version: int = 0) -> dict[str, Any]:
    """A record at so many seconds after START."""
    at = (START + timedelta(seconds=second)).isoformat()
    return {"id": str(number), "at": at, "version": version}


def walk(made: Collection, limit: int, descending: bool, within: Between) -> list[Any]:
    """Every page by its key; gives time and id."""
    found: list[Any] = []
    after = None
    while True:
        items, total, after = made.page(
            "at", descending=descending, bounds={"at": within}, after=after, limit=limit
        )
        found += [(item.fields["at"], item.id) for item in items]
        assert total >= len(items)
        if after is None:
            return found


@given(
    st.lists(moments, max_size=40),
    st.lists(st.tuples(st.integers(0, 39), moments), max_size=10),
    st.integers(1, 9),
    st.booleans(),
    st.tuples(maybe, maybe, st.booleans(), st.booleans()),
)
def test_pages_are_what_a_plain_sort_and_filter_give(
    times: list[int],
    updates: list[tuple[int, int]],
    limit: int,
    descending: bool,
    ends: tuple[int | None, int | None, bool, bool],
) -> None:
    """Walking by key gives each record once, in order, within the bounds, also after updates."""
    made = Collection({"at": "at"}, now=lambda: START)
    now = dict(enumerate(times))
    made.add(record(n, second) for n, second in now.items())
    walk(made, limit, descending, Between())  # so that indexes exist before the updates
    for n, second in updates:
        if n in now:
            now[n] = second
            made.update(str(n), {"at": record(n, second)["at"]})
    low, high = (None if e is None else microseconds(record(0, e)["at"]) for e in ends[:2])
    within = Between(low, high, *ends[2:])
    keys = [(microseconds(record(n, second)["at"]), str(n)) for n, second in now.items()]
    expected = sorted(
        ((at, n) for at, n in keys if at is not None and within.holds(at)), reverse=descending
    )
    assert walk(made, limit, descending, within) == expected


def test_a_time_is_read_in_every_length() -> None:
    """The fraction has any number of digits, the zone is Z or an offset."""
    texts = ["2026-03-01T00:00:00Z", "2026-03-01T00:00:00.25Z", "2026-03-01T01:00:00.25+0100"]
    first = microseconds(texts[0])
    assert first is not None
    assert [microseconds(text) for text in texts] == [first, first + 250_000, first + 250_000]
    assert microseconds("soon") is None
    assert microseconds(None) is None


def test_a_record_without_a_time_can_be_placed() -> None:
    """`at` says by which time a record without one is found; without `at` no filter finds it."""
    made = Collection({"at": "at"}, now=lambda: START)
    made.add([{"id": "1"}], at=START)
    made.add([{"id": "2"}])
    assert [item.id for item in made.page("at")[0]] == ["1"]
    assert made.ids() == ["1", "2"]


def test_a_record_without_an_id_is_kept() -> None:
    """It is served as it is; the collection numbers it for itself."""
    made = Collection({"at": "at"}, now=lambda: START)
    made.add([{"at": START.isoformat()}, {"at": START.isoformat()}])
    assert [item.body for item in made.page("at")[0]] == [
        b'{"at":"2026-03-01T00:00:00+00:00"}',
        b'{"at":"2026-03-01T00:00:00+00:00"}',
    ]
