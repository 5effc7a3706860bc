"""Blobs of the container dead-letters: list them, lease one, read its lines, write what is left.

A blob is changed under a lease alone, so that two requests at the same time do nothing twice. Its
metadata, beside those of ``shared.delivery.dead_letters``: ``tried``, the time of its last redrive;
``acknowledged``, the time at which a person has looked at it; ``never``, the reason that its
records can never be sent.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.azure import storage
from shared.azure.storage import storage_errors
from shared.delivery.batch import compress, decompress
from shared.delivery.dead_letters import CONTAINER, Refused, metadata
from shared.delivery.spool import QUEUE, Message, MessageUnreadable
from shared.records.codec import dump_json, parse_json
from shared.records.declared import declared_fields

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobLeaseClient

logger = logging.getLogger("connectors.delivery")

NO_OBJECT = "it is no JSON object, so no table takes it"
_LEASE_SECONDS = 60


class BlobUnreadable(Exception):
    """A blob of the container that this project did not write."""


@dataclass(frozen=True, slots=True)
class DeadLetterBlob:
    """A blob as the listing shows it; ``causes`` counts its records by cause."""

    name: str
    about: Mapping[str, str]
    modified: datetime

    @property
    def stream(self) -> str:
        """Return the stream of its records; the queue's name for spooled messages."""
        return self.name.partition("/")[0]

    @property
    def connection(self) -> str:
        """Return the connection of its records; '' for the one without a name."""
        return self.about.get("connection", "")

    @property
    def acknowledged(self) -> bool:
        """Whether a person has looked at it."""
        return "acknowledged" in self.about

    @property
    def causes(self) -> dict[str, int]:
        """Return the number of its records for each cause."""
        try:
            causes = json.loads(self.about.get("causes", ""))
            return {str(cause): int(count) for cause, count in causes.items()}
        except (ValueError, AttributeError):
            # Another program wrote the blob: count it once, under a cause that says so.
            return {"not counted": 1}

    @property
    def records(self) -> int:
        """Return the number of its records, as far as its metadata tell."""
        return sum(self.causes.values())


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a blob, as bytes and as what it says."""

    line: bytes
    refused: Refused
    record: Any

    @property
    def id(self) -> str:
        """Return 16 hex digits that tell the record from others of its blob."""
        return hashlib.sha256(self.refused.record).hexdigest()[:16]


def listed() -> list[DeadLetterBlob]:
    """Return all blobs, by name; raises ``StorageUnavailable``."""
    return list(iter_blobs())


def iter_blobs() -> Iterator[DeadLetterBlob]:
    """Yield the blobs by name, a page a request; raises ``StorageUnavailable``."""
    from azure.core.exceptions import ResourceNotFoundError

    with storage_errors(f"Listing the blob container {CONTAINER}"):
        try:
            for blob in storage.container(CONTAINER).list_blobs(include=["metadata"]):
                yield DeadLetterBlob(blob.name, blob.metadata or {}, blob.last_modified)
        except ResourceNotFoundError:
            return


def read_entries(blob: DeadLetterBlob) -> list[Entry]:
    """Return the lines of ``blob``; raises ``BlobUnreadable`` and ``StorageUnavailable``."""
    with storage_errors(f"Reading from the blob container {CONTAINER}"):
        body = _client(blob).download_blob().readall()
    try:
        return [_entry(line) for line in decompress(body).splitlines()]
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, RecursionError):
        raise BlobUnreadable from None


def _entry(line: bytes) -> Entry:
    told = parse_json(line)
    record = told["record"]
    raw = record.encode() if isinstance(record, str) else dump_json(record)
    return Entry(line, Refused(raw, int(told["status"]), str(told["message"])), record)


def why_never(stream: str, entry: Entry) -> str:
    """Return why a dead letter can never be sent; '' if it can."""
    if stream == QUEUE:
        try:
            Message.read(entry.refused.record)
        except MessageUnreadable:
            return "it is no message of the spool"
        return ""
    if not isinstance(entry.record, dict):
        return NO_OBJECT
    try:
        declared = bool(declared_fields(stream))
    except KeyError:
        declared = False
    return "" if declared else f"this version has no stream {stream}"


@dataclass(frozen=True, slots=True)
class LeasedBlob:
    """A blob under this request's lease, with its metadata as they are since."""

    blob: DeadLetterBlob
    lease: BlobLeaseClient

    def mark(self, **marks: str) -> None:
        """Add ``marks`` to the blob's metadata; raises ``StorageUnavailable``."""
        with storage_errors(f"Writing to the blob container {CONTAINER}"):
            about = {**self.blob.about, **marks}
            _client(self.blob).set_blob_metadata(about, lease=self.lease)

    def write_entries(
        self, before: Sequence[Entry], left: Sequence[Entry], **marks: str
    ) -> DeadLetterBlob:
        """Replace the blob's lines by ``left``, or delete it; ``marks`` are added to its metadata.

        ``before`` are its lines until now. Return it with its new metadata; raises
        ``StorageUnavailable``.
        """
        lines = [entry.line for entry in left]
        about = {**self.blob.about, **metadata([entry.refused for entry in left]), **marks}
        with storage_errors(f"Writing to the blob container {CONTAINER}"):
            client = _client(self.blob)
            if not lines:
                client.delete_blob(lease=self.lease)
            elif lines == [entry.line for entry in before]:
                client.set_blob_metadata(about, lease=self.lease)
            else:
                body = compress(b"\n".join(lines) + b"\n")
                client.upload_blob(body, overwrite=True, lease=self.lease, metadata=about)
        return replace(self.blob, about=about)


@contextmanager
def leased(blob: DeadLetterBlob) -> Iterator[LeasedBlob | None]:
    """Lease the blob; None where another request leases it, or has just removed it."""
    from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError

    with storage_errors(f"Leasing from the blob container {CONTAINER}"):
        try:
            lease = _client(blob).acquire_lease(_LEASE_SECONDS)
        except (ResourceExistsError, ResourceNotFoundError):
            lease = None
    try:
        yield LeasedBlob(_reread(blob), lease) if lease is not None else None
    finally:
        if lease is not None:
            try:
                lease.release()
            except AzureError:
                # The blob was deleted under the lease, or the lease expires within a minute.
                logger.debug("A lease was not released")


def _reread(blob: DeadLetterBlob) -> DeadLetterBlob:
    """The blob as it is now: another request may have written it since it was listed."""
    with storage_errors(f"Reading from the blob container {CONTAINER}"):
        now = _client(blob).get_blob_properties()
    return DeadLetterBlob(blob.name, now.metadata or {}, now.last_modified)


def _client(blob: DeadLetterBlob) -> BlobClient:
    return storage.container(CONTAINER).get_blob_client(blob.name)
