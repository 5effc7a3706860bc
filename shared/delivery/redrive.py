"""Sends dead letters and poison messages again, each once; what is refused again stays.

A blob is leased while its records are sent, so that two people who press the button at once send
nothing twice. What arrived leaves the blob by one write under that lease: a crash between arrival
and that write repeats one blob's records at most.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shared.azure import storage
from shared.azure.stored import storage_faults
from shared.delivery.batch import decompress, packed
from shared.delivery.batch_sender import BatchSender
from shared.delivery.dead_letters import CONTAINER, DeadLetters, Refused, content, metadata
from shared.delivery.redrive_report import RedriveReport
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
# A message is out of others' sight for so long while it is put back into the spool.
_HIDDEN_SECONDS = 60
_AT_A_TIME = 32


class _KeptAside(DeadLetters):
    """Takes what is refused again, without writing anything: it goes back into its own blob."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[Refused] = []

    def put(self, stream: str, refused: Sequence[Refused]) -> None:  # noqa: ARG002  (the seam's)
        """Keep ``refused`` until the blob is written again."""
        self.refused += refused


class _BlobUnreadable(Exception):
    """Another hand's blob, or a damaged one."""


def redrive(what: str) -> RedriveReport:
    """Send ``what`` (dead-letters or poison) again, for most of a minute; raises nothing of ours.

    What the time did not suffice for is left for the next time.
    """
    deadline = time.monotonic() + SECONDS
    work = _dead_letters if what == DEAD_LETTERS else _poison
    counts = {"sent": 0, "left": 0}
    try:
        message = work(counts, deadline)
        if time.monotonic() >= deadline:
            message = f"The time was over: go on with the rest. {message}".strip()
    except ConnectorError as error:
        message = str(error)
    emit(
        logger,
        "redriven",
        Redriven=what,
        Sent=counts["sent"],
        Left=counts["left"],
        Message=message,
    )
    return RedriveReport(what, counts["sent"], counts["left"], message)


def _dead_letters(counts: dict[str, int], deadline: float) -> str:
    """Gives back what else is to be said."""
    target = sink_for(read_destination())
    unreadable = 0
    for name in list(DeadLetters().names()):
        if time.monotonic() >= deadline:
            break
        with _leased(name) as lease:
            if lease is None:
                continue
            try:
                _one_blob(name, lease, target, counts, deadline)
            except _BlobUnreadable:
                unreadable += 1
    if not unreadable:
        return ""
    return f"{unreadable} blob(s) of {CONTAINER} cannot be read as dead letters, and stay."


def _one_blob(
    name: str,
    lease: BlobLeaseClient,
    target: Sink,
    counts: dict[str, int],
    deadline: float,
) -> None:
    with storage_faults(f"Reading from the blob container {CONTAINER}"):
        blob = _blob(name)
        body = blob.download_blob().readall()
    stream = name.partition("/")[0]
    try:
        lines = decompress(body).splitlines()
        sendable, left = _sorted_out(stream, lines)
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, RecursionError):
        raise _BlobUnreadable from None
    failure: ConnectorError | None = None
    if sendable:
        until = min(time.monotonic() + _BLOB_SECONDS, deadline)
        kept, failure = _send(target, stream, sendable, until)
        left += kept
    counts["sent"] += len(lines) - len(left)
    counts["left"] += len(left)
    if len(left) < len(lines):
        _write_back(blob, lease, stream, left)
    if failure is not None and not isinstance(failure, RuleRefusesRecords):
        raise failure


def _sorted_out(stream: str, lines: Sequence[bytes]) -> tuple[list[Refused], list[Refused]]:
    """What can be sent, and what cannot: text that is no record, a stream that no rule declares."""
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
    """Deliver ``entries``; gives back those that did not arrive, and what ended it early."""
    records = [entry.record for entry in entries]
    kept = _KeptAside()
    # Here refused records are what is to be expected, and never say that the rule is at fault.
    delivery = BatchSender(target, kept, always_tolerated=len(records))
    left: list[Refused] = []
    failure: ConnectorError | None = None
    for start, batch in packed(stream, records):
        mine = entries[start : start + len(batch.records)]
        if failure is not None and not isinstance(failure, RuleRefusesRecords):
            left += mine
            continue
        try:
            delivery.deliver(batch, deadline)
        except DestinationError as error:
            failure = error
            settled = set(error.settled)
            left += [entry for index, entry in enumerate(mine) if index not in settled]
    return [*left, *kept.refused], failure


def _blob(name: str) -> BlobClient:
    return storage.container(CONTAINER).get_blob_client(name)


@contextmanager
def _leased(name: str) -> Iterator[BlobLeaseClient | None]:
    """The blob's lease; None where another has it, or has just sent and removed the blob."""
    from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

    with storage_faults(f"Leasing from the blob container {CONTAINER}"):
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
        # The blob is gone with its lease, or the lease ends by itself within a minute.
        logger.debug("A lease was not released")


def _write_back(
    blob: BlobClient, lease: BlobLeaseClient, stream: str, left: Sequence[Refused]
) -> None:
    with storage_faults(f"Writing to the blob container {CONTAINER}"):
        if not left:
            blob.delete_blob(lease=lease)
            return
        blob.upload_blob(
            content(stream, left), overwrite=True, lease=lease, metadata=metadata(left)
        )


def _poison(counts: dict[str, int], deadline: float) -> str:
    """Poison messages go back to the spool, where ``DeliveryRetry`` takes them up at once.

    Gives back what else is to be said.
    """
    from azure.core.exceptions import ResourceNotFoundError

    spool = Spool()
    with storage_faults(f"Reading from the queue {POISON_QUEUE}"):
        queue = storage.queue(POISON_QUEUE)
        try:
            pages = queue.receive_messages(
                messages_per_page=_AT_A_TIME, visibility_timeout=_HIDDEN_SECONDS
            )
            for found in pages:
                _put_back(spool, found, queue.delete_message, counts)
                if time.monotonic() >= deadline:
                    break
        except ResourceNotFoundError:
            logger.debug("There is no queue %s: nothing was ever poison", POISON_QUEUE)
    return ""


def _put_back(
    spool: Spool, found: Any, delete: Callable[[Any], None], counts: dict[str, int]
) -> None:
    try:
        message = Message.read(found.content)
    except MessageUnreadable:
        counts["left"] += 1
        return
    spool.put_back(message, 0)
    delete(found)
    counts["sent"] += 1
