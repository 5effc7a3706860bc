"""Checkpoints of streams: table ``ConnectorCheckpoints``, guarded by ETag.

PartitionKey is ``<connector>:<host and path>`` (``<connector>__<connection>:…``), so that a changed
tenant never inherits a watermark; RowKey is the stream. The row holds the watermark, the open
window and the position in it, and the fingerprints of recently delivered records: binary properties
of at most 64 KB.
Fingerprints beyond one row (1 MiB) go to further rows, named by a generation and written before the
row that refers to them: a crash in between leaves unreferenced rows, never a missing one.
https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from shared.azure.storage import create_on_first_use, storage_errors
from shared.errors import CheckpointConflict, CheckpointUnreadable, StorageUnavailable
from shared.state.addresses import carry_over, key_of_address
from shared.state.fingerprints import FINGERPRINT_BYTES, Fingerprint, FingerprintSet, pack, unpack
from shared.state.keys import connection_key
from shared.state.progress import Progress, ProgressUnreadable, read_progress
from shared.state.progress import properties as progress_properties

if TYPE_CHECKING:
    from azure.data.tables import TableClient

TABLE = "ConnectorCheckpoints"
# 13 properties of 5,000 fingerprints are 780 KB: under a row's limit of 1 MiB also as base64, which
# Azurite measures. 16 rows hold a million fingerprints.
PER_PROPERTY = 5_000
PROPERTIES = 13
PER_ROW = PER_PROPERTY * PROPERTIES
MAX_ROWS = 16

logger = logging.getLogger("connectors.checkpoints")


def partition_key(connector: str, address: str, connection: str = "") -> str:
    """Return ``<connector>:<host and path>``, ``<connector>__<connection>:…`` for a named one.

    A path's slashes become ``|``.
    """
    return f"{connection_key(connector, connection)}:{key_of_address(address)}"


class StreamCheckpoint:
    """A stream's checkpoint: load it once a run, then move it under its ETag."""

    def __init__(self, table: TableClient, partition: str, stream: str, run_id: str) -> None:
        self._table = table
        self.partition = partition
        self.stream = stream
        self.run_id = run_id
        self.progress = Progress()
        self._etag: str | None = None
        self._writes = 0
        self._generation = ""
        self._extra_etags: list[str] = []
        self._stored = 0
        self._tail = b""

    def load(self) -> FingerprintSet:
        """Read the rows into ``progress``, and return the fingerprints.

        Raises StorageUnavailable, and CheckpointUnreadable where a row is invalid.
        """
        from azure.core.exceptions import ResourceNotFoundError

        with storage_errors(f"Reading the checkpoint of {self.stream}"):
            try:
                row = self._table.get_entity(self.partition, self.stream)
            except ResourceNotFoundError:
                if not carry_over(self._table, self.partition, self.stream):
                    return FingerprintSet()
                row = self._table.get_entity(self.partition, self.stream)
            self._etag = str(row.metadata["etag"])
            self.progress = self._read_progress(row)
            self._generation = str(row.get("generation", ""))
            seen = FingerprintSet(self._read_seen(row))
            rows = self._number(row, "rows", 1)
            # If the last row is full, look for one more, written before the first refers to it.
            while len(self._extra_etags) + 1 < rows or self._stored == rows * PER_ROW:
                key = self._extra_key(len(self._extra_etags) + 1)
                try:
                    extra = self._table.get_entity(self.partition, key)
                except ResourceNotFoundError:
                    if len(self._extra_etags) + 1 < rows:
                        raise self._unreadable(f"its row {key} is gone") from None
                    break
                self._extra_etags.append(str(extra.metadata["etag"]))
                rows = max(rows, len(self._extra_etags) + 1)
                for known in self._read_seen(extra):
                    seen.add(known)
        return seen

    def advance(self, progress: Progress, delivered: Sequence[Fingerprint]) -> bool:
        """Write ``progress``, and append the fingerprints of records delivered since.

        False, with nothing written, where the rows are full or do not exist: call ``rewrite``.
        Raises StorageUnavailable and CheckpointConflict.
        """
        first, last = self._stored, self._stored + len(delivered)
        if self._etag is None or last > PER_ROW * MAX_ROWS or (last > PER_ROW and first < PER_ROW):
            return False
        rows: dict[int, dict[str, Any]] = {}
        at = first
        remaining = iter(delivered)
        while at < last:
            number, within = divmod(at, PER_ROW)
            count = min(PER_PROPERTY - within % PER_PROPERTY, last - at)
            # A property is written whole: keep the last one in memory rather than read it again.
            name = f"seen{within // PER_PROPERTY:02d}"
            block = self._tail if within % PER_PROPERTY else b""
            self._tail = block + pack(islice(remaining, count))
            rows.setdefault(number, {})[name] = self._tail
            at += count
        for number in sorted(rows.keys() - {0}):
            self._write_extra(number, rows[number])
        self._stored = last
        self._write_main(progress, rows.get(0, {}), replace=False)
        return True

    def rewrite(self, progress: Progress, seen: Sequence[Fingerprint]) -> int:
        """Replace all rows: store ``progress`` and the fingerprints ``seen`` (oldest first).

        Return how many of the oldest did not fit sixteen rows and were dropped. Raises
        StorageUnavailable and CheckpointConflict.
        """
        forgotten = max(len(seen) - PER_ROW * MAX_ROWS, 0)
        kept = seen[forgotten:]
        before = [self._extra_key(number + 1) for number in range(len(self._extra_etags))]
        self._extra_etags = []
        self._generation = f"{self.run_id[:12]}-{self._writes}"
        rows = [kept[at : at + PER_ROW] for at in range(0, len(kept), PER_ROW)] or [kept]
        first = self._properties(rows[0])
        for number, row in enumerate(rows[1:], start=1):
            # Write in order: ``advance`` appends to the last row's tail.
            self._write_extra(number, self._properties(row))
        self._stored = len(kept)
        self._write_main(progress, first, replace=True)
        try:
            for key in before:
                with storage_errors(f"Deleting older rows of the checkpoint of {self.stream}"):
                    self._table.delete_entity(self.partition, key)
        except StorageUnavailable as error:
            # Unreferenced rows are harmless: they take a little space.
            logger.warning("Rows of an older generation stay: %s", error)
        return forgotten

    def _properties(self, row: Sequence[Fingerprint]) -> dict[str, bytes]:
        blocks = [row[at : at + PER_PROPERTY] for at in range(0, len(row), PER_PROPERTY)]
        packed = [pack(block) for block in blocks]
        self._tail = packed[-1] if packed else b""
        return {f"seen{number:02d}": block for number, block in enumerate(packed)}

    def _extra_key(self, number: int) -> str:
        return f"{self.stream}~{self._generation}~{number:02d}"

    def _write_extra(self, number: int, properties: Mapping[str, Any]) -> None:
        entity = {"PartitionKey": self.partition, "RowKey": self._extra_key(number), **properties}
        etag = self._extra_etags[number - 1] if number <= len(self._extra_etags) else None
        etag = self._put(entity, etag, replace=False)
        if number <= len(self._extra_etags):
            self._extra_etags[number - 1] = etag
        else:
            self._extra_etags.append(etag)

    def _write_main(
        self, progress: Progress, properties: Mapping[str, Any], *, replace: bool
    ) -> None:
        entity: dict[str, Any] = {
            "PartitionKey": self.partition,
            "RowKey": self.stream,
            "generation": self._generation,
            "rows": 1 + len(self._extra_etags),
            **progress_properties(progress),
            **properties,
        }
        self._etag = self._put(entity, self._etag, replace=replace)
        self.progress = progress

    def _put(self, entity: dict[str, Any], etag: str | None, *, replace: bool) -> str:
        """Create or update under the ETag, and return the new one. Raises CheckpointConflict."""
        from azure.core import MatchConditions
        from azure.core.exceptions import (
            ResourceExistsError,
            ResourceModifiedError,
            ResourceNotFoundError,
        )
        from azure.data.tables import UpdateMode

        self._writes += 1
        write_id = f"{self.run_id}-{self._writes}"
        entity["written"] = write_id
        with storage_errors(f"Writing the checkpoint of {self.stream}"):
            try:
                if etag is None:
                    answer = create_on_first_use(
                        self._table.create_table, lambda: self._table.create_entity(entity)
                    )
                else:
                    answer = self._table.update_entity(
                        entity,
                        mode=UpdateMode.REPLACE if replace else UpdateMode.MERGE,
                        etag=etag,
                        match_condition=MatchConditions.IfNotModified,
                    )
                return str(answer["etag"])
            except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
                return self._resolve_lost_response(entity, write_id)

    def _resolve_lost_response(self, entity: Mapping[str, Any], write_id: str) -> str:
        """Return the row's ETag if it holds this write, whose response alone was lost.

        Such a write, sent again by the SDK, looks like a conflict. Raises CheckpointConflict if the
        row holds another run's write.
        """
        from azure.core.exceptions import ResourceNotFoundError

        with contextlib.suppress(ResourceNotFoundError):
            row = self._table.get_entity(entity["PartitionKey"], entity["RowKey"])
            if row.get("written") == write_id:
                return str(row.metadata["etag"])
        raise CheckpointConflict(
            f"Another run moved the checkpoint of {self.stream} ({self.partition}) since this one "
            "read it, so this one stops; nothing is lost. If it goes on, look for a second app "
            "on the same storage account with the same settings"
        )

    def _read_progress(self, row: Mapping[str, Any]) -> Progress:
        try:
            return read_progress(row)
        except ProgressUnreadable as error:
            raise self._unreadable(str(error)) from None

    def _read_seen(self, row: Mapping[str, Any]) -> Iterator[Fingerprint]:
        for number in range(PROPERTIES):
            block = row.get(f"seen{number:02d}", b"")
            if not isinstance(block, bytes) or len(block) > PER_PROPERTY * FINGERPRINT_BYTES:
                raise self._unreadable(f"its seen{number:02d} is no list of fingerprints")
            if not block:
                return
            try:
                yield from unpack(block)
            except ValueError:
                raise self._unreadable(f"its seen{number:02d} has a broken length") from None
            self._tail = block
            self._stored += len(block) // FINGERPRINT_BYTES

    def _number(self, row: Mapping[str, Any], name: str, default: int) -> int:
        value = row.get(name, default)
        if not isinstance(value, int) or not 0 <= value <= PER_ROW * MAX_ROWS:
            raise self._unreadable(f"its {name} is no number that this version wrote")
        return value

    def _unreadable(self, cause: str) -> CheckpointUnreadable:
        connector, _, name = self.partition.partition(":")[0].partition("__")
        whose = f" --connection {name}" if name else ""
        return CheckpointUnreadable(
            f"The checkpoint of {self.stream} ({self.partition}) cannot be used: {cause}. To start "
            "this stream over (InitialLookbackHours back; what it sent since may repeat): python3 "
            f"-m tools reset-stream {connector} {self.stream}{whose}"
        )
