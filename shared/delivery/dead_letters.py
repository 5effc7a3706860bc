"""Dead letters: what Azure Monitor refuses for good, kept where a person can look at it.

A blob of the container ``dead-letters`` is gzip NDJSON, a line a record: ``record`` (as it would
have gone out; text where it is no JSON), ``stream``, ``status`` (0: no answer is behind it) and
``message``, the reason. Blobs are named ``<stream>/<yyyy-mm-dd>/<hhmmss>-<number>.ndjson.gz``.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import shared.storage
from shared.delivery.batches import compress
from shared.delivery.stored import Storage, made_on_first_use, storage_faults
from shared.records import dump_json, parse_json, utc_now

logger = logging.getLogger("connectors.delivery")

CONTAINER = "dead-letters"
# What one blob holds before compression, at most and beyond its last record.
_BLOB_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Refused:
    """One record that cannot be delivered: its bytes, the HTTP status (0: none) and the reason."""

    record: bytes
    status: int
    message: str

    def line(self, stream: str) -> bytes:
        """The record's line in the blob."""
        try:
            record = parse_json(self.record)
        except (ValueError, RecursionError):
            record = self.record.decode("utf-8", "replace")
        return dump_json(
            {"record": record, "stream": stream, "status": self.status, "message": self.message}
        )


class DeadLetters:
    """The container ``dead-letters`` of the app's storage account."""

    def __init__(
        self, storage: Storage = shared.storage, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._storage = storage
        self._now = now

    def put(self, stream: str, refused: Sequence[Refused]) -> None:
        """Keep ``refused``, and say in the log how many; raises ``StorageUnavailable``.

        Until this returns, none of them counts as delivered.
        """
        for lines in _in_blobs(stream, refused):
            self._write(stream, compress(b"\n".join(lines) + b"\n"))
        if refused:
            statuses = sorted({entry.status for entry in refused})
            logger.error(
                "%s: %d record(s) cannot be delivered (HTTP %s) and are kept in the blob container "
                "%s, each with its reason",
                stream,
                len(refused),
                ", ".join(map(str, statuses)),
                CONTAINER,
            )

    def _write(self, stream: str, body: bytes) -> None:
        name = f"{stream}/{self._now():%Y-%m-%d/%H%M%S}-{uuid.uuid4().hex}.ndjson.gz"
        with storage_faults("Writing to the blob container dead-letters"):
            container = self._storage.container(CONTAINER)
            made_on_first_use(container.create_container, lambda: container.upload_blob(name, body))

    def names(self) -> Iterator[str]:
        """The blobs' names, oldest first within a stream; raises ``StorageUnavailable``."""
        from azure.core.exceptions import ResourceNotFoundError

        with storage_faults("Listing the blob container dead-letters"):
            try:
                yield from self._storage.container(CONTAINER).list_blob_names()
            except ResourceNotFoundError:
                return


def _in_blobs(stream: str, refused: Sequence[Refused]) -> Iterator[list[bytes]]:
    lines: list[bytes] = []
    size = 0
    for entry in refused:
        lines.append(entry.line(stream))
        size += len(lines[-1])
        if size >= _BLOB_BYTES:
            yield lines
            lines, size = [], 0
    if lines:
        yield lines
