"""Overlaps with more records than a row, and than sixteen rows, can know."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from shared.azure import storage
from shared.delivery.batch import Batch
from shared.polling import run as polling_run
from shared.records.raw import as_record
from shared.records.timestamps import isoformat, utc_now
from shared.settings.app import PollingSettings
from shared.source.connector import Connection
from shared.source.stream import Page, Stream, Window
from shared.state import checkpoint
from shared.state.checkpoint import PER_ROW, TABLE, StreamCheckpoint, partition_key
from shared.telemetry.run import RunResult, RunState
from tests.polling.connectors import connector_of

STREAM = Stream("Custom-Many", "many", "at", "at", (("id",),))
ADDRESS = "https://many.example"
PAGE = 10_000

pytestmark = pytest.mark.usefixtures("storage")


class ManyAtOnce:
    """A vendor that shows ``count`` records, in ``seconds`` seconds, whatever the window."""

    stream = STREAM
    parallelism = 1

    def __init__(self, count: int, *, seconds: int = 1) -> None:
        self.count = count
        self.seconds = seconds
        self.begun = utc_now() - timedelta(minutes=5)

    def pages(self, window: Window | None, after: str = "") -> Iterator[Page]:
        assert window is not None
        for first in range(0, self.count, PAGE):
            numbers = range(first, min(first + PAGE, self.count))
            records = [as_record({"id": n, "at": self._at(n)}) for n in numbers]
            yield Page(records, 1, self.count)

    def _at(self, number: int) -> str:
        return isoformat(self.begun + timedelta(seconds=number * self.seconds // self.count))


class Counting:
    """A sink that counts its records."""

    name = "counting"
    records = 0

    def declared(self, stream: str) -> None:
        """Records go out as they came."""

    def upload(self, batch: Batch, timeout: float) -> int:
        self.records += len(batch.records)
        return batch.size

    def renew_sign_in(self) -> None:
        """There is nothing to sign in to."""

    def close(self) -> None:
        """There is nothing to close."""


def poll(source: ManyAtOnce) -> tuple[RunResult, int]:
    """Run once as a new process does; return the result and how many records were uploaded."""
    session = cast(Any, SimpleNamespace(begin=lambda _: None, requests=0, retries=0))
    polling = PollingSettings(initial_lookback_hours=24, overlap_minutes=10)
    connection = Connection(ADDRESS, session, [source])
    target = Counting()
    run = polling_run.PollRun(connector_of("Many", source), connection, target, polling)
    run._run_stream(run._shares.task(connection, 0, 1))
    assert not run._failures
    return run._results[0], target.records


def fingerprints_known() -> int:
    key = partition_key("Many", ADDRESS)
    return len(StreamCheckpoint(storage.table(TABLE), key, STREAM.name, "reader").load())


def test_thousands_with_one_timestamp_in_several_rows_arrive_once() -> None:
    """More than a row knows, all at one moment: the second run sends none of them again."""
    many = ManyAtOnce(PER_ROW + 12_345)
    run, sent = poll(many)
    assert (run.status, sent) == (RunState.OK, many.count)
    assert fingerprints_known() == many.count
    many.count += 10
    run, sent = poll(many)
    assert (run.status, sent) == (RunState.OK, 10)
    assert run.repeats == PER_ROW + 12_345


@pytest.mark.slow
def test_a_million_in_one_overlap_arrive_once() -> None:
    """The fingerprints of sixteen rows survive a restart."""
    many = ManyAtOnce(1_000_000)
    assert poll(many)[1] == many.count
    assert poll(many)[1] == 0


@pytest.mark.slow
def test_more_than_all_rows_know_warns_and_loses_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest may repeat, the warning says so, every record has arrived; here of two rows."""
    monkeypatch.setattr(checkpoint, "MAX_ROWS", 2)
    most = 2 * PER_ROW
    caplog.set_level(logging.WARNING)
    many = ManyAtOnce(most + 30_000, seconds=60)
    run, sent = poll(many)
    assert (run.status, sent) == (RunState.OK, many.count)
    assert "may repeat, none is lost" in caplog.text
    assert fingerprints_known() <= most
    run, again = poll(many)
    assert run.status == RunState.OK
    assert 0 < again <= 2 * (many.count - most)
