"""Runs whose time is so many requests to the vendor, whatever a machine's speed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from local.vendors.jira import Jira
from local.vendors.sentinelone import SentinelOne
from shared.connections.opening import open_connection
from shared.delivery.sink import sink_for
from shared.polling import run as polling_run
from shared.polling import stream_poll
from shared.polling.shares import StreamTask
from shared.settings.app import read_destination, read_polling
from shared.source.connector import Connector
from shared.telemetry.run import RunResult

_FAR = 3_600.0


@dataclass(slots=True)
class ShortRuns:
    """Runs of one stream, each of ``pages`` requests to ``vendor``."""

    connector: Connector
    stream: str
    vendor: SentinelOne | Jira
    pages: int
    patch: pytest.MonkeyPatch
    error: Exception | None = None

    def run(self) -> RunResult:
        """One run in a process that knows nothing of the ones before; keeps its ``error``."""
        connection = open_connection(self.connector)
        assert connection is not None
        source = next(s for s in connection.sources if s.stream.setting_name == self.stream)
        start = time.monotonic() + _FAR - len(self.vendor.requests)
        clock = SimpleNamespace(monotonic=lambda: start + len(self.vendor.requests))
        self.patch.setattr(stream_poll, "time", clock)
        run = polling_run.PollRun(
            self.connector, connection, sink_for(read_destination()), read_polling()
        )
        task = StreamTask(
            connection, source, clock.monotonic() + self.pages, time.monotonic() + 2 * _FAR
        )
        run._run_stream(task)
        self.error = run._failures.get(self.stream)
        return run._results[0]

    def until_done(self, most: int) -> list[RunResult]:
        """Runs until one of them comes to the end; at most so many."""
        results = [self.run()]
        while results[-1].status == "catching up":
            assert len(results) < most, [(r.records, r.repeats, r.requests) for r in results]
            results.append(self.run())
        assert self.error is None
        return results
