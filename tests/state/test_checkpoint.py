"""A stream's rows in Table Storage, with more fingerprints than one row holds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import shared.azure.storage
from shared.records.timestamps import utc_now
from shared.state.checkpoint import PER_ROW, TABLE, StreamCheckpoint
from shared.state.fingerprints import Fingerprint
from shared.state.progress import Progress

pytestmark = pytest.mark.usefixtures("storage")


def checkpoint(run_id: str) -> StreamCheckpoint:
    return StreamCheckpoint(
        shared.azure.storage.table(TABLE), "Test:example", "Custom-Test", run_id
    )


def fingerprints(first: int, count: int) -> Iterator[Fingerprint]:
    return (number << 64 | number for number in range(first, first + count))


@pytest.mark.parametrize("rewritten", [PER_ROW - 1, PER_ROW, PER_ROW + 1, PER_ROW + 5_001])
def test_what_is_added_behind_a_rewrite_is_known_with_what_was_there(rewritten: int) -> None:
    """However many rows are rewritten, the next fingerprints follow those of the last row."""
    progress = Progress(
        watermark=utc_now(), last_polled_at=utc_now(), history="an error's words " * 250
    )
    writing = checkpoint("first")
    writing.load()
    known = list(fingerprints(0, rewritten))
    writing.rewrite(progress, known)
    for step in range(2):
        more = list(fingerprints(rewritten + step * 7_000, 7_000))
        known += more
        if not writing.advance(progress, more):
            writing.rewrite(progress, known)
    assert sorted(checkpoint("second").load()) == known
