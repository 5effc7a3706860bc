"""Redrive: send dead letters and poison messages again, each once; records refused again stay.

A blob is leased while its records are sent, so that two requests at the same time send nothing
twice. Delivered records leave the blob by one write under that lease: a crash between delivery and
that write repeats the records of one blob at most.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.azure import storage
from shared.azure.storage import storage_errors
from shared.delivery.batch import decompress, packed
from shared.delivery.batch_sender import BatchSender
from shared.delivery.dead_letters import CONTAINER, DeadLetters, Refused, content, metadata
from shared.delivery.sink import Sink, sink_for
from shared.delivery.spool import POISON_QUEUE, Message, MessageUnreadable, Spool
from shared.errors import ConnectorError, DestinationError, RuleRefusesRecords
from shared.records.codec import dump_json, parse_json
from shared.records.declared import declared_fields
from shared.settings.app import read_destination
from shared.telemetry.events import emit

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobLeaseClient

logger = logging.getLogger("connectors.status")

DEAD_LETTERS = "dead-letters"
POISON = "poison"
SECONDS = 50.0
_BLOB_SECONDS = 30.0
_LEASE_SECONDS = 60
# Visibility timeout of a poison message while it is put back into the spool.
_HIDDEN_SECONDS = 60
_PAGE_MESSAGES = 32


@dataclass(frozen=True, slots=True)
class RedriveReport:
    """Result of a redrive: messages or records ``sent``, and those ``left`` where they were."""

    redriven: str
    sent: int
    left: int
    message: str


@dataclass(slots=True)
class _RedriveCounters:
    sent: int = 0
    left: int = 0


class _InMemoryDeadLetters:
    """A ``DeadLetterSink`` for records refused again: they return to the blob they came from."""

    def __init__(self) -> None:
        self.refused: list[Refused] = []

    def put(
        self,
        stream: str,  # noqa: ARG002  (protocol)
        refused: Sequence[Refused],
        connection: str = "",  # noqa: ARG002
    ) -> None:
        """Keep ``refused`` until the blob is overwritten."""
        self.refused += refused


class _BlobUnreadable(Exception):
    """The blob is damaged, or another program wrote it."""


def redrive(what: str) -> RedriveReport:
    """Redrive ``what`` (``DEAD_LETTERS`` or ``POISON``) for up to ``SECONDS``.

    Leave the rest for the next redrive. A ``ConnectorError`` becomes the report's message.
    """
    deadline = time.monotonic() + SECONDS
    work = _dead_letters if what == DEAD_LETTERS else _poison
    counters = _RedriveCounters()
    try:
        message = work(counters, deadline)
        if time.monotonic() >= deadline:
            message = f"The time was over: go on with the rest. {message}".strip()
    except ConnectorError as error:
        message = str(error)
    emit(
        logger,
        "redriven",
        Redriven=what,
        Sent=counters.sent,
        Left=counters.left,
        Message=message,
    )
    return RedriveReport(what, counters.sent, counters.left, message)


def _dead_letters(counters: _RedriveCounters, deadline: float) -> str:
    """Redrive every blob; return a remark for the report, or ''."""
    target = sink_for(read_destination())
    unreadable = 0
    for name in list(DeadLetters().names()):
        if time.monotonic() >= deadline:
            break
        with _leased(name) as lease:
            if lease is None:
                continue
            try:
                _redrive_blob(name, lease, target, counters, deadline)
            except _BlobUnreadable:
                unreadable += 1
    if not unreadable:
        return ""
    return f"{unreadable} blob(s) of {CONTAINER} cannot be read as dead letters, and stay."


def _redrive_blob(
    name: str,
    lease: BlobLeaseClient,
    target: Sink,
    counters: _RedriveCounters,
    deadline: float,
) -> None:
    with storage_errors(f"Reading from the blob container {CONTAINER}"):
        blob = _blob(name)
        body = blob.download_blob().readall()
    stream = name.partition("/")[0]
    try:
        lines = decompress(body).splitlines()
        sendable, left = _split_sendable(stream, lines)
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, RecursionError):
        raise _BlobUnreadable from None
    failure: ConnectorError | None = None
    if sendable:
        until = min(time.monotonic() + _BLOB_SECONDS, deadline)
        undelivered, failure = _send(target, stream, sendable, until)
        left += undelivered
    counters.sent += len(lines) - len(left)
    counters.left += len(left)
    if len(left) < len(lines):
        _write_back(blob, lease, stream, left)
    if failure is not None and not isinstance(failure, RuleRefusesRecords):
        raise failure


def _split_sendable(stream: str, lines: Sequence[bytes]) -> tuple[list[Refused], list[Refused]]:
    """Split into sendable and not: text that is no record, a stream that no rule declares."""
    sendable: list[Refused] = []
    left: list[Refused] = []
    declared = _declared(stream)
    for line in lines:
        entry = parse_json(line)
        record = entry["record"]
        known = declared and isinstance(record, dict)
        raw = record.encode() if isinstance(record, str) else dump_json(record)
        refused = Refused(raw, int(entry["status"]), str(entry["message"]))
        (sendable if known else left).append(refused)
    return sendable, left


def _declared(stream: str) -> bool:
    try:
        return bool(declared_fields(stream))
    except KeyError:
        return False


def _send(
    target: Sink, stream: str, entries: Sequence[Refused], deadline: float
) -> tuple[list[Refused], ConnectorError | None]:
    """Deliver ``entries``; return the undelivered ones, and the error that ended it early."""
    records = [entry.record for entry in entries]
    refused_again = _InMemoryDeadLetters()
    # Refused records are expected here: ten without an accepted one leave the rest where it is.
    delivery = BatchSender(target, refused_again)
    left: list[Refused] = []
    failure: ConnectorError | None = None
    for start, batch in packed(stream, records):
        attempted = entries[start : start + len(batch.records)]
        if failure is not None and not isinstance(failure, RuleRefusesRecords):
            left += attempted
            continue
        try:
            delivery.deliver(batch, deadline)
        except DestinationError as error:
            failure = error
            settled = set(error.settled)
            left += [entry for index, entry in enumerate(attempted) if index not in settled]
    return [*left, *refused_again.refused], failure


def _blob(name: str) -> BlobClient:
    return storage.container(CONTAINER).get_blob_client(name)


@contextmanager
def _leased(name: str) -> Iterator[BlobLeaseClient | None]:
    """Lease the blob; None where another redrive leases it, or has just removed it."""
    from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

    with storage_errors(f"Leasing from the blob container {CONTAINER}"):
        try:
            lease = _blob(name).acquire_lease(_LEASE_SECONDS)
        except (ResourceExistsError, ResourceNotFoundError):
            lease = None
    try:
        yield lease
    finally:
        if lease is not None:
            _release(lease)


def _release(lease: BlobLeaseClient) -> None:
    from azure.core.exceptions import AzureError

    try:
        lease.release()
    except AzureError:
        # The blob was deleted under the lease, or the lease expires within a minute.
        logger.debug("A lease was not released")


def _write_back(
    blob: BlobClient, lease: BlobLeaseClient, stream: str, left: Sequence[Refused]
) -> None:
    with storage_errors(f"Writing to the blob container {CONTAINER}"):
        if not left:
            blob.delete_blob(lease=lease)
            return
        blob.upload_blob(
            content(stream, left), overwrite=True, lease=lease, metadata=metadata(left)
        )


def _poison(counters: _RedriveCounters, deadline: float) -> str:
    """Move poison messages to the spool, from where ``DeliveryRetry`` delivers them at once.

    Return a remark for the report, or ''.
    """
    from azure.core.exceptions import ResourceNotFoundError

    spool = Spool()
    with storage_errors(f"Reading from the queue {POISON_QUEUE}"):
        queue = storage.queue(POISON_QUEUE)
        try:
            pages = queue.receive_messages(
                messages_per_page=_PAGE_MESSAGES, visibility_timeout=_HIDDEN_SECONDS
            )
            for queued in pages:
                _put_back(spool, queued, queue.delete_message, counters)
                if time.monotonic() >= deadline:
                    break
        except ResourceNotFoundError:
            logger.debug("The queue %s does not exist: no message was ever poison", POISON_QUEUE)
    return ""


def _put_back(
    spool: Spool, queued: Any, delete: Callable[[Any], None], counters: _RedriveCounters
) -> None:
    try:
        message = Message.read(queued.content)
    except MessageUnreadable:
        counters.left += 1
        return
    spool.put_back(message, 0)
    delete(queued)
    counters.sent += 1
