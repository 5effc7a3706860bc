"""Batches that were accepted are in the workspace in the end, also after a kill."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from local.azure.ingested import IngestedBatches


def test_a_batch_not_ingested_is_taken_up_by_the_next_process(tmp_path: Path) -> None:
    """A kill between the 204 and the row loses nothing; afterwards the journal is empty."""
    stuck, stop = threading.Event(), threading.Event()

    def killed(stream: str, records: list[dict[str, Any]]) -> None:
        stuck.set()
        stop.wait(10)

    first = IngestedBatches(killed, "counts", tmp_path)
    first.start()  # never closed: its process is gone
    first.add("Custom-Jira_Audit", [{"id": 1}], raw_bytes=1, wire_bytes=1)
    assert stuck.wait(10)
    found: list[tuple[str, list[dict[str, Any]]]] = []
    second = IngestedBatches(lambda s, r: found.append((s, r)), "counts", tmp_path)
    second.start()
    second.settle()
    second.close()
    assert found == [("Custom-Jira_Audit", [{"id": 1}])]
    assert not list(tmp_path.glob("*.json"))


def test_a_batch_that_cannot_be_ingested_is_put_aside(tmp_path: Path) -> None:
    """Else each later process would fail on it."""

    def fails(stream: str, records: list[dict[str, Any]]) -> None:
        raise KeyError(stream)

    batches = IngestedBatches(fails, "counts", tmp_path)
    batches.start()
    batches.add("Custom-Jira", [{"id": 1}], raw_bytes=1, wire_bytes=1)
    with pytest.raises(KeyError):
        batches.settle()
    batches.close()
    assert [path.suffix for path in tmp_path.iterdir()] == [".failed"]
