"""Review of dead letters: list them by cause, show one without its contents, discard, acknowledge.

A record's contents may name a person or hold a secret: what is shown of it are the names and the
types of its fields.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.delivery.dead_letter_blobs import (
    BlobUnreadable,
    DeadLetterBlob,
    Entry,
    leased,
    listed,
    read_entries,
    why_never,
)
from shared.delivery.dead_letters import OTHER_CAUSES
from shared.delivery.spool import QUEUE, Message, MessageUnreadable, Spool
from shared.errors import StorageUnavailable
from shared.records.timestamps import isoformat, utc_now
from shared.telemetry.events import emit

logger = logging.getLogger("connectors.delivery")

_MOST_LINES = 50
_MOST_FIELDS = 200
_MOST_LEVELS = 6


@dataclass(frozen=True, slots=True)
class DeadLetterGroup:
    """Dead letters of one stream, connection and cause, from the blobs' metadata.

    ``acknowledged``: a person has looked at all of them. ``oldest`` and ``newest`` are the times of
    the last writes of their blobs.
    """

    stream: str
    connection: str
    cause: str
    records: int
    acknowledged: bool
    oldest: datetime
    newest: datetime


@dataclass(frozen=True, slots=True)
class DeadLetterLine:
    """A dead letter to look at: its place, its cause, and its record without values.

    ``never`` is the reason that it can never be sent, or ''.
    """

    blob: str
    line: str
    stream: str
    connection: str
    cause: str
    never: str
    record: Any


@dataclass(frozen=True, slots=True)
class Selection:
    """Dead letters of one cause; None: of any."""

    stream: str | None = None
    cause: str | None = None
    connection: str | None = None

    def has_blob(self, blob: DeadLetterBlob) -> bool:
        """Whether the blob may have some of them."""
        return (
            self.stream in (None, blob.stream)
            and self.connection in (None, blob.connection)
            and (self.cause is None or self.cause in blob.causes or OTHER_CAUSES in blob.causes)
        )

    def has_entry(self, blob: DeadLetterBlob, entry: Entry) -> bool:
        """Whether a line of such a blob is one of them."""
        cause = entry.refused.cause
        if self.cause == OTHER_CAUSES:
            return cause not in blob.causes
        return self.cause in (None, cause)


def dead_letter_groups() -> list[DeadLetterGroup]:
    """Return all dead letters by stream, connection and cause, the most first.

    Raises ``StorageUnavailable``.
    """
    groups: dict[tuple[str, str, str], DeadLetterGroup] = {}
    for blob in listed():
        for cause, records in blob.causes.items():
            key = (blob.stream, blob.connection, cause)
            group = groups.get(key)
            groups[key] = DeadLetterGroup(
                *key,
                records + (group.records if group else 0),
                blob.acknowledged and (group is None or group.acknowledged),
                min(blob.modified, group.oldest) if group else blob.modified,
                max(blob.modified, group.newest) if group else blob.modified,
            )
    return sorted(groups.values(), key=lambda group: -group.records)


def look_at(selection: Selection, most: int = _MOST_LINES) -> list[DeadLetterLine]:
    """Return up to ``most`` dead letters without their values; raises ``StorageUnavailable``.

    Blobs that cannot be read are left out.
    """
    found: list[DeadLetterLine] = []
    for blob in listed():
        if not selection.has_blob(blob):
            continue
        try:
            entries = read_entries(blob)
        except BlobUnreadable:
            continue
        for entry in entries:
            if not selection.has_entry(blob, entry):
                continue
            if len(found) == most:
                return found
            found.append(_line(blob, entry))
    return found


def _line(blob: DeadLetterBlob, entry: Entry) -> DeadLetterLine:
    return DeadLetterLine(
        blob.name,
        entry.id,
        blob.stream,
        blob.connection,
        entry.refused.cause,
        why_never(blob.stream, entry),
        masked(entry.record),
    )


def masked(value: Any, levels: int = _MOST_LEVELS) -> Any:
    """Return ``value`` with its fields' names and the types of their values alone."""
    if isinstance(value, dict):
        if not levels:
            return "<object>"
        names = list(value)[:_MOST_FIELDS]
        return {name: masked(value[name], levels - 1) for name in names}
    if isinstance(value, list):
        return [masked(value[0], levels - 1), f"<{len(value)} in all>"] if value and levels else []
    if isinstance(value, str):
        return f"<text of {len(value)} characters>"
    if value is None:
        return None
    return "<true or false>" if isinstance(value, bool) else "<number>"


def discard_line(blob_name: str, line: str) -> int:
    """Delete one dead letter for good; return 1, or 0 where it is gone already.

    Raises ``StorageUnavailable``, also while another request has its blob.
    """
    for blob in listed():
        if blob.name == blob_name:
            return _discard(blob, _once(lambda entry: entry.id == line))
    return 0


def discard(selection: Selection) -> int:
    """Delete the dead letters of ``selection`` for good; return how many.

    Raises ``StorageUnavailable``, also while another request has one of their blobs.
    """
    chosen = [blob for blob in listed() if selection.has_blob(blob)]
    return sum(_discard(blob, functools.partial(selection.has_entry, blob)) for blob in chosen)


def _once(matches: Callable[[Entry], bool]) -> Callable[[Entry], bool]:
    """Match the first such entry alone: records that are alike are discarded one by one."""
    found: list[Entry] = []

    def first(entry: Entry) -> bool:
        if found or not matches(entry):
            return False
        found.append(entry)
        return True

    return first


def _discard(blob: DeadLetterBlob, matches: Callable[[Entry], bool]) -> int:
    with leased(blob) as held:
        if held is None:
            raise StorageUnavailable(f"Another request has {blob.name}: try again in a minute")
        try:
            entries = read_entries(blob)
        except BlobUnreadable:
            return 0
        gone = [entry for entry in entries if matches(entry)]
        if not gone:
            return 0
        left = [entry for entry in entries if all(entry is not other for other in gone)]
        held.write_entries(entries, left)
    for name in _spool_blobs(blob, gone):
        Spool().forget(Message(QUEUE, blob=name))
    causes = ", ".join(sorted({entry.refused.cause for entry in gone}))
    emit(logger, "dead_letters_discarded", Stream=blob.stream, Records=len(gone), Causes=causes)
    return len(gone)


def _spool_blobs(blob: DeadLetterBlob, gone: list[Entry]) -> Iterator[str]:
    """Yield the spool's blobs that discarded messages name."""
    if blob.stream != QUEUE:
        return
    for entry in gone:
        try:
            message = Message.read(entry.refused.record)
        except MessageUnreadable:
            continue
        if message.blob is not None:
            yield message.blob


def acknowledge(selection: Selection | None = None) -> int:
    """Mark dead letters as looked at, by the blob; return how many records that concerns.

    Later ones need a look again. Raises ``StorageUnavailable``.
    """
    chosen = selection or Selection()
    records = 0
    for blob in listed():
        if blob.acknowledged or not chosen.has_blob(blob):
            continue
        with leased(blob) as held:
            if held is not None:
                held.mark(acknowledged=isoformat(utc_now()))
                records += held.blob.records
    return records
