"""Packing records by size, and compression."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

import orjson
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.batch import MAX_BATCH_BYTES, Batch, Packer, body_size, compress, packed

STREAM = "Custom-Test"
records = st.lists(
    st.dictionaries(st.text(max_size=5), st.text(max_size=40), max_size=3).map(orjson.dumps)
)


@given(records, st.integers(min_value=40, max_value=400))
def test_packing_keeps_every_record_in_order_within_the_limit(
    given_records: list[bytes], limit: int
) -> None:
    """Every record is in one batch, in order; only a single record may exceed the limit."""
    packer = Packer(STREAM, limit)
    batches = [full for record in given_records if (full := packer.add(record))]
    if last := packer.flush():
        batches.append(last)

    assert [record for batch in batches for record in batch.records] == given_records
    for batch in batches:
        assert batch.size == len(batch.body())
        assert batch.size <= limit or len(batch.records) == 1
        assert orjson.loads(batch.body()) == [orjson.loads(record) for record in batch.records]


@given(records, st.integers(min_value=40, max_value=400))
def test_a_batch_is_closed_only_when_the_next_record_would_not_fit(
    given_records: list[bytes], limit: int
) -> None:
    """A batch is returned only if the next record does not fit into it."""
    packer = Packer(STREAM, limit)
    for record in given_records:
        if full := packer.add(record):
            assert body_size([*full.records, record]) > limit


@given(
    records,
    st.lists(st.integers(min_value=0, max_value=9), max_size=5),
    st.integers(min_value=40, max_value=400),
)
def test_a_page_is_packed_as_its_records_one_by_one(
    given_records: list[bytes], cuts: list[int], limit: int
) -> None:
    """However many records a page has, with others in the open batch or none."""
    whole, single = Packer(STREAM, limit), Packer(STREAM, limit)
    filled: list[Sequence[bytes]] = []
    rest = given_records
    for cut in [*cuts, len(rest)]:
        page, rest = rest[:cut], rest[cut:]
        while page:
            room = whole.fill(page)
            page = page[room:]
            if page and (batch := whole.flush()):
                filled.append(batch.records)
    added = [full.records for record in given_records if (full := single.add(record))]
    assert filled == added
    assert len(whole) == len(single)
    assert whole.fill([]) == 0


def test_brackets_and_commas_count() -> None:
    """A body of exactly the limit goes out as one batch, one byte more as two."""
    record = b'{"a":"%s"}' % (b"x" * 49_990)
    fitting = MAX_BATCH_BYTES - 2 - 19 * (len(record) + 1)
    last = b"1" * fitting
    exact = packed(STREAM, [*[record] * 19, last])
    over = packed(STREAM, [*[record] * 19, last + b"1"])

    assert [batch.size for _, batch in exact] == [MAX_BATCH_BYTES]
    assert [start for start, _ in over] == [0, 19]


def test_nothing_makes_no_batch() -> None:
    """Without records there is nothing to send, not even an empty array."""
    assert packed(STREAM, []) == []
    assert Packer(STREAM).flush() is None


def test_halves_are_the_whole() -> None:
    """The halves of a batch hold its records in order, and neither is empty."""
    first, second = Batch(STREAM, [b"1", b"2", b"3"]).halves()
    assert [*first.records, *second.records] == [b"1", b"2", b"3"]
    assert first.records
    assert second.records


@given(st.binary(max_size=5000))
def test_compression_is_gzip(body: bytes) -> None:
    """The body is gzip that any reader of gzip opens."""
    assert gzip.decompress(compress(body)) == body
