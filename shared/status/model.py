"""Data of the status page: rendered as HTML for a person, serialized as JSON for a program.

Times are aware UTC, None where absent; durations are seconds. It contains no secret, no record's
content and no person's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.delivery.backlog import DeadLetterStatus, Queue
from shared.telemetry.run import RunState


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of a stream: records accepted, bytes sent, repeats suppressed, bytes read."""

    start: datetime
    records: int = 0
    bytes: int = 0
    repeats: int = 0
    bytes_read: int = 0


@dataclass(frozen=True, slots=True)
class LastError:
    """The last error in the history; ``error`` is its class."""

    at: datetime | None
    error: str
    message: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """A state, its reason and the advice; ``advice`` is '' where there is nothing to do."""

    state: RunState
    reason: str
    advice: str = ""


LEFT_OUT = Assessment(RunState.OFF, "Left out by the setting that chooses the streams.")


@dataclass(frozen=True, slots=True)
class MissingHour:
    """An hour of which posts brought fewer events than the vendor's API lists, by its name."""

    hour: str
    listed: int
    posted: int


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One stream; ``delivered_to`` is its watermark: every event up to that time is delivered.

    ``missing`` has the hours that posts did not bring whole, the oldest first.
    """

    name: str
    assessment: Assessment
    delivered_to: datetime | None = None
    seconds_behind: float | None = None
    last_run: datetime | None = None
    last_success: datetime | None = None
    last_error: LastError | None = None
    hours: Sequence[Hour] = ()
    missing: Sequence[MissingHour] = ()


@dataclass(frozen=True, slots=True)
class ConnectorStatus:
    """One connection of a connector; ``connection`` is its name, '' for the one without.

    ``address`` is the vendor's host, '' for a webhook or where off; ``address_note`` says what an
    earlier address left behind, or until when the count of posts waits, '' for neither. ``due`` is
    when a connection that was put off is polled again. ``polled``: a timer asks the vendor, so that
    a person can pause it; ``paused`` is since when it is, None where it is not.
    """

    name: str
    on: bool
    assessment: Assessment
    address: str = ""
    token_expires: datetime | None = None
    token_note: str = ""
    address_note: str = ""
    connection: str = ""
    due: datetime | None = None
    streams: Sequence[StreamStatus] = ()
    polled: bool = False
    paused: datetime | None = None

    @property
    def title(self) -> str:
        """The connector's name, with the connection's behind it."""
        return f"{self.name} {self.connection}".rstrip()


@dataclass(frozen=True, slots=True)
class AppStatus:
    """The whole status as of ``at``; ``problems`` are those of the app itself, the worst first.

    ``connectors`` has an entry for each connection, the worst first; ``shown`` is the text that
    chose them by name, '' for all.
    """

    state: RunState
    at: datetime
    version: str
    destination: str
    destination_address: str
    problems: Sequence[Assessment]
    connectors: Sequence[ConnectorStatus]
    shown: str
    spool: Queue
    poison: Queue
    dead_letters: DeadLetterStatus
