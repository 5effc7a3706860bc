"""The elements of a body in each of its forms, and the refusals with their reasons."""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.webhook.body import (
    MAX_BYTES,
    BodyRefused,
    ElementUnreadable,
    decode,
    elements,
    too_large,
    unpack,
)

# Beyond 64 bits a number is read as a float: no column holds more.
integers = st.integers(-(2**63), 2**63 - 1)
scalars = st.none() | st.booleans() | integers | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=8), values, max_size=4)
encodings = st.sampled_from(
    [
        lambda body: body,
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: b"\r\n  " + body + b"\n",
        gzip.compress,
        lambda body: gzip.compress(body[:3]) + gzip.compress(body[3:]),
    ]
)
Encoding = Callable[[bytes], bytes]


def elements_of(body: bytes) -> list[Any]:
    """The decoded elements of a posted body."""
    text = unpack(body)
    if text is None:
        raise too_large()
    return [decode(value) for value in elements(text).values]


def utf8(value: Any, **options: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, **options).encode()


@given(st.lists(values, max_size=5), encodings)
def test_an_array_gives_its_elements(array: list[Any], encoding: Encoding) -> None:
    """An array, plain, with a byte order mark, padded or in gzip, gives all of its elements."""
    assert elements_of(encoding(utf8(array))) == array


@given(objects, encodings, st.sampled_from([None, 2]))
def test_an_object_is_one_element(
    event: dict[str, Any], encoding: Encoding, indent: int | None
) -> None:
    """A single object is one element, on one line or on several."""
    assert elements_of(encoding(utf8(event, indent=indent))) == [event]


@given(st.lists(objects, min_size=2, max_size=5), st.sampled_from([b"\n", b"\r\n", b"\n\n \n"]))
def test_lines_give_an_element_each(events: list[dict[str, Any]], newline: bytes) -> None:
    """NDJSON gives the objects of its lines; blank lines and Windows' line ends do no harm."""
    assert elements_of(newline.join(map(utf8, events)) + newline) == events


def test_a_line_may_hold_an_array() -> None:
    """A line that is an array gives its elements."""
    assert elements_of(b'[{"a":1},{"a":2}]\n{"a":3}') == [{"a": 1}, {"a": 2}, {"a": 3}]


def gzipped(body: bytes) -> bytes:
    """The same bytes in every process: a test's name is made of them."""
    return gzip.compress(body, mtime=0)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "empty"),
        (b" \r\n\t ", 400, "empty"),
        (b"\xef\xbb\xbf", 400, "empty"),
        (gzipped(b""), 400, "empty"),
        ('[{"a": 1}]'.encode("utf-16"), 400, "not UTF-8"),
        (b"event=login&user=1", 400, "neither a JSON array"),
        (b"<html></html>", 400, "neither a JSON array"),
        (b'[{"a": 1}', 400, "neither a JSON array"),
        (b"1\n2\n", 400, "no JSON object"),
        (b"17", 400, "bare value"),
        (b'"text"', 400, "bare value"),
        (b"null", 400, "bare value"),
        (b"true", 400, "bare value"),
        (b"[" * 100_000, 400, "nested too deeply"),
        (b'[\n{"a": 1},\n{"a": 2}\n', 400, "neither a JSON array"),
        (b"[" + b"{}," * 50_000 + b"{}]", 413, "50,000 events"),
        (b"[" + b"1," * 3_000_000 + b"{}]", 413, "50,000 events"),
        (b"{}\n" * 50_001, 413, "50,000 events"),
        (b"\x1f\x8b" + b"\x00" * 20, 400, "not whole gzip"),
        (gzipped(b"[{}]")[:-3], 400, "its end is missing"),
        (gzipped(b"[{}]") + b"rest", 400, "not whole gzip"),
        (gzipped(b" ") * 40, 400, "too many parts"),
        (b" " * (MAX_BYTES + 1), 413, "32 MB"),
        (gzipped(b" " * (MAX_BYTES + 1)), 413, "32 MB"),
    ],
)
def test_a_body_that_is_no_batch_is_refused(body: bytes, status: int, words: str) -> None:
    """A body that is not a batch of events is refused with a status and a reason."""
    with pytest.raises(BodyRefused, match=words) as refused:
        elements_of(body)
    assert refused.value.status == status


def test_a_gzip_bomb_is_not_unpacked() -> None:
    """A gigabyte of zeros in a megabyte is refused without a gigabyte of memory."""
    megabyte = b" " * (1 << 20)
    packer = gzip.zlib.compressobj(wbits=31)  # type: ignore[attr-defined]
    bomb = b"".join(packer.compress(megabyte) for _ in range(1024)) + packer.flush()
    with pytest.raises(BodyRefused) as refused:
        elements_of(bomb)
    assert refused.value.status == 413


def test_exactly_32_mb_is_taken() -> None:
    """The limit itself is allowed, plain and after gunzip."""
    body = b"[{}]" + b" " * (MAX_BYTES - 4)
    assert elements_of(body) == [{}]
    assert elements_of(gzip.compress(body, 1)) == [{}]


@given(st.binary(max_size=300))
def test_any_bytes_are_elements_or_refused(body: bytes) -> None:
    """Whatever is posted, the outcome is elements or a refusal, never another error."""
    found: list[Any] | None = None
    with contextlib.suppress(BodyRefused, ElementUnreadable):
        found = elements_of(body)
    assert found is None or isinstance(found, list)
