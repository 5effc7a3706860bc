"""A stream's progress, and the properties of its row that hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from shared.records.timestamps import isoformat, parse_time

# Format 2 added cursors, looks by id and ``stalled``. A row of format 1 reads as one without them.
FORMAT = 2
READABLE_FORMATS = (1, 2)
# A longer cursor is not stored: its walk resumes from the position.
MAX_CURSOR = 8_000


@dataclass(frozen=True, slots=True)
class Progress:
    """A stream's progress; every time aware UTC.

    ``watermark``: every earlier record is delivered; None before the first window ended.
    ``window_start`` and ``window_end``: the open window, None between windows.
    ``watermark_next``: the watermark after that window. ``position``: every earlier record of the
    window is delivered. ``cursor``: where the open window, snapshot or look by id goes on, '' for
    none; ``cursor_end``: the end of the part of the window that it belongs to.
    ``last_polled_at``: when the stream was last read to its end. ``disabled_since``: since when an
    optional stream is disabled. ``history``: JSON for the status page. ``stalled``: how many runs
    in a row ended neither with an end nor further on.

    ``known_id``: the highest id of the last look by id, '' before the first. ``top_id`` and
    ``reached_id``: the open look's highest id, and that down to which it has delivered.
    ``look_start``: when that look began. ``checked_at``: the watermark of the last window of a
    stream that is read by id. ``slow_since``: since when its ids are known not to grow;
    ``slow_at``: when the wide window that replaces its looks was opened last.

    ``known_from``: of all records from then on that were delivered, the fingerprints are kept; None
    where none was dropped yet.

    ``throttled_since``: since when the vendor's limit of calls has let no record through;
    ``throttled_until``: when that limit renews. Both None where the last run was not throttled.
    """

    watermark: datetime | None = None
    window_start: datetime | None = None
    window_end: datetime | None = None
    watermark_next: datetime | None = None
    position: datetime | None = None
    cursor: str = ""
    cursor_end: datetime | None = None
    last_polled_at: datetime | None = None
    disabled_since: datetime | None = None
    history: str = ""
    stalled: int = 0
    known_id: str = ""
    top_id: str = ""
    reached_id: str = ""
    look_start: datetime | None = None
    checked_at: datetime | None = None
    slow_since: datetime | None = None
    slow_at: datetime | None = None
    known_from: datetime | None = None
    throttled_since: datetime | None = None
    throttled_until: datetime | None = None

    @property
    def unfinished(self) -> bool:
        """Whether a window, a snapshot or a look by id is open."""
        return bool(self.window_end or self.cursor or self.top_id)

    @property
    def place(self) -> tuple[object, ...]:
        """How far the stream has come: equal after two runs that came no further."""
        return (
            *(self.watermark, self.window_end, self.position),
            *(self.cursor, self.cursor_end, self.known_id, self.top_id, self.reached_id),
        )


# Stored property names are a contract: rows of an earlier version must stay readable.
_STORED_NAMES = {"last_polled_at": "looked_at", "disabled_since": "off_since"}
_TEXTS = ("history", "cursor", "known_id", "top_id", "reached_id")
# The attributes of Progress that are times, and the property of each.
_TIMES = {
    field.name: _STORED_NAMES.get(field.name, field.name)
    for field in fields(Progress)
    if field.name not in (*_TEXTS, "stalled")
}


class ProgressUnreadable(ValueError):
    """A row's properties are not what a version of this app wrote; the text says which."""


def properties(progress: Progress) -> dict[str, Any]:
    """The properties of a row that hold ``progress``."""
    times = {stored: getattr(progress, name) for name, stored in _TIMES.items()}
    return {
        "format": FORMAT,
        "stalled": progress.stalled,
        **{name: getattr(progress, name) for name in _TEXTS},
        **{stored: isoformat(moment) if moment else "" for stored, moment in times.items()},
    }


def read_progress(row: Mapping[str, Any]) -> Progress:
    """The progress in a row of this format or an earlier one. Raises ProgressUnreadable."""
    if row.get("format") not in READABLE_FORMATS:
        raise ProgressUnreadable(f"its format is {row.get('format')!r}, this version's {FORMAT}")
    times: dict[str, datetime | None] = {}
    for name, stored in _TIMES.items():
        text = row.get(stored)
        times[name] = parse_time(text) if text else None
        if text and times[name] is None:
            raise ProgressUnreadable(f"its {stored} is no time")
    window = [times[n] for n in ("window_start", "window_end", "watermark_next", "position")]
    if any(window) and not all(window):
        raise ProgressUnreadable("its window is incomplete")
    stalled = row.get("stalled", 0)
    if not isinstance(stalled, int):
        raise ProgressUnreadable("its stalled is no number")
    texts = {name: str(row.get(name) or "") for name in _TEXTS}
    for name in ("known_id", "top_id", "reached_id"):
        if texts[name] and not texts[name].isdecimal():
            raise ProgressUnreadable(f"its {name} is no id")
    values: dict[str, Any] = {**times, **texts, "stalled": stalled}
    return Progress(**values)
