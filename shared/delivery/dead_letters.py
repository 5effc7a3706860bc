"""Dead letters: what Azure Monitor refuses for good, kept where a person can look at it.

A blob of the container ``dead-letters`` is gzip NDJSON, a line a record: ``record`` (as it would
have gone out; text where it is no JSON), ``stream``, ``status`` (0: no answer is behind it) and
``message``, the reason. Blobs are named ``<stream>/<yyyy-mm-dd>/<hhmmss>-<number>.ndjson.gz``;
their metadata ``causes`` counts what they hold (``{"HTTP 400 InvalidRecord": 3}``), so that the
status page need not open them.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import shared.azure.storage
from shared.azure.storage import Storage, create_on_first_use, storage_errors
from shared.delivery.batch import compress
from shared.records.codec import dump_json, parse_json
from shared.records.timestamps import utc_now
from shared.telemetry.events import emit

logger = logging.getLogger("connectors.delivery")

CONTAINER = "dead-letters"
# What one blob holds before compression, at most and beyond its last record.
_BLOB_BYTES = 4_000_000
# Azure Monitor's own word for what is wrong, before its explanation: "InvalidRecord: …".
_CODE = re.compile(r"^[A-Za-z]{3,60}(?=:)")


@dataclass(frozen=True, slots=True)
class Refused:
    """One record that cannot be delivered: its bytes, the HTTP status (0: none) and the reason."""

    record: bytes
    status: int
    message: str

    @property
    def cause(self) -> str:
        """The reason without what it may quote of the record: ``HTTP 400 InvalidRecord``."""
        if not self.status:
            return self.message.partition(":")[0][:100]
        code = _CODE.match(self.message)
        return f"HTTP {self.status} {code.group()}" if code else f"HTTP {self.status}"

    def line(self, stream: str) -> bytes:
        """The record's line in the blob."""
        try:
            record = parse_json(self.record)
        except (ValueError, RecursionError):
            record = self.record.decode("utf-8", "replace")
        return dump_json(
            {"record": record, "stream": stream, "status": self.status, "message": self.message}
        )


class DeadLetterSink(Protocol):
    """Where a ``BatchSender`` puts the records that Azure Monitor refuses for good."""

    def put(self, stream: str, refused: Sequence[Refused]) -> None:
        """Keep ``refused``; raises ``StorageUnavailable`` where they could not be kept."""
        ...


class DeadLetters:
    """The container ``dead-letters`` of the app's storage account."""

    def __init__(
        self, storage: Storage = shared.azure.storage, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._storage = storage
        self._now = now

    def put(self, stream: str, refused: Sequence[Refused]) -> None:
        """Keep ``refused``, and say in the log how many; raises ``StorageUnavailable``.

        Until this returns, none of them counts as delivered.
        """
        for entries in _in_blobs(refused):
            self._write(stream, content(stream, entries), metadata(entries))
        if refused:
            causes = ", ".join(sorted({entry.cause for entry in refused}))
            emit(logger, "dead_letters", Stream=stream, Records=len(refused), Causes=causes)

    def _write(self, stream: str, body: bytes, about: dict[str, str]) -> None:
        name = f"{stream}/{self._now():%Y-%m-%d/%H%M%S}-{uuid.uuid4().hex}.ndjson.gz"
        with storage_errors("Writing to the blob container dead-letters"):
            container = self._storage.container(CONTAINER)
            create_on_first_use(
                container.create_container,
                lambda: container.upload_blob(name, body, metadata=about),
            )

    def names(self) -> Iterator[str]:
        """The blobs' names, oldest first within a stream; raises ``StorageUnavailable``."""
        from azure.core.exceptions import ResourceNotFoundError

        with storage_errors("Listing the blob container dead-letters"):
            try:
                yield from self._storage.container(CONTAINER).list_blob_names()
            except ResourceNotFoundError:
                return


def content(stream: str, entries: Sequence[Refused]) -> bytes:
    """A blob's content: gzip NDJSON."""
    return compress(b"\n".join(entry.line(stream) for entry in entries) + b"\n")


def metadata(entries: Sequence[Refused]) -> dict[str, str]:
    """A blob's metadata: how many of its records have which cause, as ASCII JSON."""
    return {"causes": json.dumps(dict(Counter(entry.cause for entry in entries).most_common(20)))}


def _in_blobs(refused: Sequence[Refused]) -> Iterator[list[Refused]]:
    entries: list[Refused] = []
    size = 0
    for entry in refused:
        entries.append(entry)
        size += len(entry.record)
        if size >= _BLOB_BYTES:
            yield entries
            entries, size = [], 0
    if entries:
        yield entries
