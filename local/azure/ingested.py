"""Batches that the local Azure Monitor accepted: counted, kept, ingested into the workspace."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from shared.records.codec import dump_json

Record = dict[str, Any]
Ingest = Callable[[str, list[Record]], object]
Refuse = Callable[[str, Record], str | None]
# Whole records, their ids alone, or nothing but totals (to measure speed).
Keep = Literal["records", "ids", "counts"]


@dataclass(slots=True)
class _Stream:
    requests: int = 0
    raw_bytes: int = 0
    wire_bytes: int = 0
    count: int = 0
    records: list[Record] = field(default_factory=list)
    ids: Counter[str] = field(default_factory=Counter)


class IngestedBatches:
    """Accepted batches by stream; a thread ingests them into the workspace.

    As in Azure, a sender has its 204 before the rows can be queried: settle() waits for them.
    With a ``journal`` a batch is in a file of that folder until its rows are in the workspace, so
    that a kill in between loses nothing: start() takes up the files that are there.
    """

    def __init__(self, ingest: Ingest | None, keep: Keep, journal: Path | None = None) -> None:
        self._ingest = ingest
        self.keep = keep
        self._journal = journal
        self._files: dict[str, list[Path]] = {}
        self._lock = threading.Lock()
        self._streams: dict[str, _Stream] = {}
        self._waiting: dict[str, list[Record]] = {}
        self._changed = threading.Condition(self._lock)
        self._busy = self._closing = False
        self._failures: list[Exception] = []
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to fill the workspace, if there is one."""
        if self._ingest is not None:
            self._take_up()
            self._thread = threading.Thread(
                target=self._fill, args=(self._ingest,), name="workspace", daemon=True
            )
            self._thread.start()

    def _take_up(self) -> None:
        """Queue the batches that an earlier process accepted and did not ingest."""
        for path in sorted(self._journal.glob("*.json")) if self._journal else []:
            stream = path.stem.partition("_")[2]
            self._waiting.setdefault(stream, []).extend(json.loads(path.read_bytes()))
            self._files.setdefault(stream, []).append(path)

    def _write_down(self, stream: str, records: list[Record]) -> None:
        if self._journal is None:
            return
        self._journal.mkdir(parents=True, exist_ok=True)
        path = self._journal / f"{time.time_ns():020d}_{stream}.json"
        new = path.with_suffix(".new")
        new.write_bytes(dump_json(records))
        new.replace(path)  # whole or not there
        self._files.setdefault(stream, []).append(path)

    def add(self, stream: str, records: list[Record], *, raw_bytes: int, wire_bytes: int) -> None:
        """Keep an accepted batch, and queue it for the workspace."""
        with self._lock:
            kept = self._streams.setdefault(stream, _Stream())
            kept.requests += 1
            kept.raw_bytes += raw_bytes
            kept.wire_bytes += wire_bytes
            kept.count += len(records)
            if self.keep == "records":
                kept.records += records
            elif self.keep == "ids":
                kept.ids.update(str(record.get("id") or record.get("uuid")) for record in records)
            if self._thread is not None:
                self._write_down(stream, records)
                self._waiting.setdefault(stream, []).extend(records)
                self._changed.notify_all()

    def records(self, stream: str) -> list[Record]:
        """The records accepted for a stream, in order."""
        with self._lock:
            kept = self._streams.get(stream)
            return list(kept.records) if kept else []

    def ids(self, stream: str) -> Counter[str]:
        """Count each id's acceptances, where only ids are kept."""
        with self._lock:
            kept = self._streams.get(stream)
            return Counter(kept.ids) if kept else Counter()

    def totals(self) -> dict[str, dict[str, int]]:
        """By stream: requests, records, distinct ids, bytes raw and as sent."""
        with self._lock:
            return {
                name: {
                    "requests": kept.requests,
                    "records": kept.count,
                    "distinct": len(kept.ids),
                    "raw_bytes": kept.raw_bytes,
                    "wire_bytes": kept.wire_bytes,
                }
                for name, kept in self._streams.items()
            }

    def clear(self) -> None:
        """Forget the batches; the workspace keeps its rows."""
        with self._lock:
            self._streams.clear()

    def settle(self) -> None:
        """Wait until the workspace has everything; raise the first failure there."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._busy)
        if self._failures:
            raise self._failures[0]

    def close(self) -> None:
        """Ingest the batches that wait, and stop."""
        if self._thread is None:
            return
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._thread = None

    def _fill(self, ingest: Ingest) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                # Ingest all waiting batches of a stream at once: a small one costs as much.
                stream = next(iter(self._waiting))
                records = self._waiting.pop(stream)
                files = self._files.pop(stream, [])
                self._busy = True
            try:
                ingest(stream, records)
                for path in files:
                    path.unlink(missing_ok=True)
            except Exception as failure:  # noqa: BLE001 - settle() raises it
                self._failures.append(failure)
                for path in files:  # once more would fail as well
                    path.replace(path.with_suffix(".failed"))
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
