"""Batches that the local Azure Monitor accepted: counted, kept, ingested into the workspace."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

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
    """

    def __init__(self, ingest: Ingest | None, keep: Keep) -> None:
        self._ingest = ingest
        self.keep = keep
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
            self._thread = threading.Thread(
                target=self._fill, args=(self._ingest,), name="workspace", daemon=True
            )
            self._thread.start()

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
                self._busy = True
            try:
                ingest(stream, records)
            except Exception as failure:  # noqa: BLE001 - settle() raises it
                self._failures.append(failure)
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
