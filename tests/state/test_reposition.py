"""A checkpoint that is moved back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.azure import storage as clients
from shared.state.checkpoint import TABLE, StreamCheckpoint
from shared.state.fingerprints import fingerprint
from shared.state.progress import Progress
from shared.state.reposition import replay_from

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEY, STREAM = "Acme:acme.example.net", "Custom-Acme"


def checkpoint(run: str) -> StreamCheckpoint:
    return StreamCheckpoint(clients.table(TABLE), KEY, STREAM, run)


def test_a_replay_skips_nothing_of_a_window_that_is_open(storage: str) -> None:
    """The window's overlap has begun 9 minutes before the time that a person asks for."""
    open_one = Progress(
        watermark=NOON,
        window_start=NOON - 10 * MINUTE,
        position=NOON - 10 * MINUTE,
        window_end=NOON + 5 * MINUTE,
        watermark_next=NOON + 5 * MINUTE,
    )
    known = [fingerprint(b"a", NOON - 9 * MINUTE), fingerprint(b"b", NOON - MINUTE / 2)]
    checkpoint("before").rewrite(open_one, known)
    assert replay_from(KEY, STREAM, NOON - MINUTE, inventory=False) == NOON - MINUTE
    after = checkpoint("after")
    assert after.load() == set(known[:1])
    assert after.progress == open_one
