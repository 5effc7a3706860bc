"""Messages of the spool: their text, their size, and unreadable ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.redelivery import delay_after
from shared.delivery.spool import MAX_MESSAGE_BYTES, Message, MessageUnreadable


@given(st.text(min_size=1), st.integers(0, 10**6), st.binary(max_size=1000))
def test_a_message_is_read_as_it_was_written(stream: str, tries: int, content: bytes) -> None:
    """A message's text parses to the same message."""
    message = Message(stream, tries, gzip=content)
    assert Message.read(message.text()) == message
    named = Message(stream, tries, blob="Custom-X/1.ndjson.gz")
    assert Message.read(named.text().encode()) == named


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "7",
        "{}",
        '{"stream":"Custom-X","tries":0}',
        '{"stream":7,"tries":0,"gzip":""}',
        '{"stream":"Custom-X","tries":0,"gzip":"?"}',
        '{"stream":"Custom-X","tries":0,"gzip":"é"}',
        '{"stream":"Custom-X","tries":0,"gzip":7}',
        "\udcff",
    ],
)
def test_what_is_no_message_of_ours_is_unreadable(text: str) -> None:
    """A text that this project did not write raises, with the reason."""
    with pytest.raises(MessageUnreadable, match=r"."):
        Message.read(text.encode("utf-8", "surrogateescape"))


def test_the_largest_content_fits_a_message() -> None:
    """The largest content of a message stays within 64 KB of text."""
    from shared.delivery.spool import _MAX_GZIP_BYTES

    message = Message("Custom-" + "x" * 100, 10**6, gzip=b"\xff" * _MAX_GZIP_BYTES)
    assert len(message.text().encode()) <= MAX_MESSAGE_BYTES


def test_the_delay_grows_to_a_quarter_of_an_hour() -> None:
    """The delay begins at 1 minute, doubles each try, and ends at 15 minutes."""
    assert [delay_after(tries) for tries in (0, 1, 2, 3, 4, 5, 1000)] == [
        60,
        120,
        240,
        480,
        900,
        900,
        900,
    ]
