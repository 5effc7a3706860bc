"""Move a stream's checkpoint back because a person asks for it: reset it, or replay from a time.

Hold the connection's lease (``shared.state.lease``) around either, so that no poll runs meanwhile.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime

from shared.azure import storage
from shared.azure.storage import storage_errors
from shared.records.timestamps import isoformat
from shared.state.addresses import rows_of_stream
from shared.state.checkpoint import TABLE, StreamCheckpoint


class NothingToReplay(Exception):
    """The stream has delivered nothing since that time; the text says how far it has come."""


def delete_checkpoint(partition: str, stream: str) -> int:
    """Delete the stream's rows, under every spelling of its address; return how many.

    The first row goes first: a kill in between leaves rows that nothing refers to. Raises
    StorageUnavailable.
    """
    from azure.core.exceptions import ResourceNotFoundError

    table = storage.table(TABLE)
    with storage_errors(f"Deleting the checkpoint of {stream}"):
        try:
            found = sorted(rows_of_stream(table, partition, stream), key=lambda row: row[1])
            for other, row_key in found:
                table.delete_entity(other, row_key)
        except ResourceNotFoundError:
            return 0
    return len(found)


def replay_from(partition: str, stream: str, since: datetime, *, inventory: bool) -> datetime:
    """Have the next poll read again all from ``since`` on, in whole seconds; return that time.

    Each record since then arrives once more: fingerprints of later records are dropped, those of
    earlier ones kept. The window ends where the stream had come, so that what follows is read as
    if nothing had happened. A stream that has delivered nothing yet begins at ``since``. Raises
    NothingToReplay, StorageError, and CheckpointUnreadable.
    """
    first = since.replace(microsecond=0)
    checkpoint = StreamCheckpoint(storage.table(TABLE), partition, stream, uuid.uuid4().hex)
    seen = checkpoint.load()
    past = checkpoint.progress
    come_to = [mark for mark in (past.watermark, past.position) if mark]
    if not come_to:
        if inventory:
            raise NothingToReplay("its first poll reads all there is, whatever its age")
        checkpoint.rewrite(replace(past, watermark=first, known_from=None), seen.oldest_first())
        return first
    if first >= max(come_to):
        raise NothingToReplay(f"it has come to {isoformat(max(come_to))} only, and reads on there")
    # Either may be None where the other tells: a window that is open, or a watermark.
    end = past.window_end or past.watermark
    # An open window may begin earlier: what arrived late there is still to come.
    start = min(first, past.position or first)
    progress = replace(
        past,
        window_start=start,
        window_end=end,
        watermark_next=past.watermark_next or past.watermark,
        position=start,
        cursor="",
        cursor_end=None,
        top_id="",
        reached_id="",
        look_start=None,
        stalled=0,
    )
    checkpoint.rewrite(progress, seen.earlier_than(first))
    return first
