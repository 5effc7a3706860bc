"""What a person asks of polled connections: reset or replay a stream, pause or resume a connection.

Names are compared without regard to case; an unknown one is answered with those that there are.
Checkpoints are changed under the connection's lease, so never while a poll runs.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.connections.names import set_up
from shared.connections.opening import is_polled, open_connection
from shared.connections.registry import connectors
from shared.errors import DestinationError, SettingsError, VendorError
from shared.polling.fetch_hour import fetch_hour
from shared.records.timestamps import isoformat, parse_time, utc_now
from shared.settings.app import read_polling
from shared.source.connector import Connector
from shared.source.stream import Stream
from shared.state import pause
from shared.state.checkpoint import partition_key
from shared.state.lease import held_lease
from shared.state.posted_hours import HOUR, hour_name
from shared.state.reposition import NothingToReplay, delete_checkpoint, replay_from
from shared.state.rows import checkpoint_rows
from shared.telemetry.events import emit

logger = logging.getLogger("connectors.status")

_SPAN = re.compile(r"(\d{1,5})\s*(m|h|d)", re.IGNORECASE)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_CONFLICT = 409
_UNAVAILABLE = 503


class CannotOperate(Exception):
    """A request that changes nothing; the text says why, ``status`` is that of the answer."""

    def __init__(self, message: str, status: int = 400) -> None:
        self.status = status
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Done:
    """The result of an action: ``message`` in words, ``changed`` False where it was so already."""

    action: str
    message: str
    changed: bool = True


@dataclass(frozen=True, slots=True)
class _Target:
    """A connection of a connector, by its name."""

    connector: Connector
    name: str

    @property
    def title(self) -> str:
        return f"{self.connector.name} {self.name}".rstrip()

    def partition(self) -> str:
        """The PartitionKey of its checkpoints. Raises CannotOperate for wrong settings."""
        try:
            connection = open_connection(self.connector, self.name)
        except SettingsError as error:
            raise CannotOperate(f"Nothing is changed: {error}") from error
        if connection is None:
            raise CannotOperate(f"{self.title} is not set up")
        return partition_key(self.connector.name, connection.address, self.name)

    def stream(self, wanted: str) -> Stream:
        """The stream of that setting name or full name. Raises CannotOperate."""
        by_name = {each.setting_name: each for each in self.connector.streams}
        for each in self.connector.streams:
            if wanted.lower() in (each.name.lower(), each.setting_name.lower()):
                return each
        raise CannotOperate(f"stream is one of {', '.join(by_name)}")


def operate(action: str, asked: Mapping[str, str]) -> Done:
    """Do ``action``, one of ``ACTIONS``; ``asked[action]`` names the connector.

    ``asked`` has ``connection`` ('' for the one without a name), and as the action needs ``stream``
    and ``since``. Raises CannotOperate, StorageError, and CheckpointUnreadable.
    """
    target = _target(asked[action], asked.get("connection", ""))
    done = ACTIONS[action](target, asked)
    if done.changed:
        emit(
            logger,
            "operated",
            Action=action,
            Connector=target.connector.name,
            Connection=target.name,
            Stream=asked.get("stream", ""),
            Message=done.message,
        )
    return done


def _target(wanted: str, name: str) -> _Target:
    for connector in connectors():
        if connector.name.lower() != wanted.lower():
            continue
        found = _connection(connector, name)
        if is_polled(connector, found):
            return _Target(connector, found)
        raise CannotOperate(
            f"{connector.name} posts its events: there is no place in them to go back to, and no "
            f"poll to pause. {_polled_ones()}"
        )
    raise CannotOperate(_polled_ones())


def _polled_ones() -> str:
    found = [c.name for c in connectors() if any(is_polled(c, name) for name in _names(c))]
    return f"Connectors that are polled: {', '.join(found) or 'none is set up'}"


def _names(connector: Connector) -> Sequence[str]:
    """The connections that are set up. Raises CannotOperate where that cannot be known."""
    try:
        return set_up(connector).names
    except SettingsError as error:
        raise CannotOperate(f"Nothing is changed: {error}") from error


def _connection(connector: Connector, wanted: str) -> str:
    """The connection's name as it is set. Raises CannotOperate."""
    names = _names(connector)
    for name in names:
        if name.lower() == wanted.lower():
            return name
    if not names:
        raise CannotOperate(f"{connector.name} has no connection that is set up")
    known = ", ".join(name or "(without a name)" for name in names)
    raise CannotOperate(f"connection is one of {known}")


@contextmanager
def _no_poll(target: _Target) -> Iterator[None]:
    """Hold the connection's lease. Raises CannotOperate while a poll has it."""
    with held_lease(target.connector.name, target.name) as lease:
        if lease is None:
            raise CannotOperate(
                f"A poll of {target.title} runs right now, so nothing is changed: try again once "
                "it has ended. Pause the connection, and no further one begins",
                _CONFLICT,
            )
        yield


def _reset(target: _Target, asked: Mapping[str, str]) -> Done:
    """Delete the stream's checkpoint; refuse where that would skip events, unless ``skip=1``."""
    stream = target.stream(asked.get("stream", ""))
    partition = target.partition()
    hours = read_polling().initial_lookback_hours
    begins = utc_now() - timedelta(hours=hours)
    what = f"{stream.setting_name} of {target.title}"
    with _no_poll(target):
        come_to = _come_to(partition, stream)
        if come_to and come_to < begins and not stream.inventory and asked.get("skip") != "1":
            raise CannotOperate(
                f"Nothing is changed: {what} has delivered to {isoformat(come_to)}, and would "
                f"begin again {hours:g} h back: the events in between would never come. Leave it "
                "to catch up, or replay it since a time; skip=1 (--skip) resets it all the same"
            )
        deleted = delete_checkpoint(partition, stream.name)
    if not deleted:
        return Done("reset", f"{what} has no checkpoint: it begins anew anyway.", changed=False)
    where = "with all there is" if stream.inventory else f"{hours:g} h back, {isoformat(begins)}"
    return Done(
        "reset", f"{what} begins anew at its next poll: {where}. What it sent since arrives again."
    )


def _come_to(partition: str, stream: Stream) -> datetime | None:
    row = checkpoint_rows(partition).get(stream.name, {})
    marks = [parse_time(row.get(name)) for name in ("watermark", "position")]
    return max((mark for mark in marks if mark), default=None)


def _replay(target: _Target, asked: Mapping[str, str]) -> Done:
    stream = target.stream(asked.get("stream", ""))
    if stream.snapshot:
        raise CannotOperate(
            f"{stream.setting_name} is a snapshot without times: reset it, and all of it is sent"
        )
    since = parse_since(asked.get("since", ""), utc_now())
    partition = target.partition()
    with _no_poll(target):
        try:
            first = replay_from(partition, stream.name, since, inventory=stream.inventory)
        except NothingToReplay as error:
            raise CannotOperate(
                f"{stream.setting_name} of {target.title} has nothing to replay since "
                f"{isoformat(since)}: {error}"
            ) from error
    return Done(
        "replay",
        f"{stream.setting_name} of {target.title} is read again from {isoformat(first)} on at its "
        "next poll, and goes on from where it had come. Each record since then arrives once more: "
        "its rows repeat, and are told by id.",
    )


def parse_since(text: str, now: datetime) -> datetime:
    """Parse a time, or how long ago as ``90m``, ``6h``, ``3d``. Raises CannotOperate."""
    if span := _SPAN.fullmatch(text.strip()):
        since: datetime | None = now - int(span[1]) * _UNITS[span[2].lower()]
    else:
        since = parse_time(text.strip())
    if since is None or since.year < 2000:
        raise CannotOperate("since is a time as 2026-01-31T08:00Z, or how long ago: 90m, 6h, 3d")
    if since > now:
        raise CannotOperate(f"since is {isoformat(since)}, which is yet to come")
    return since


def _pause(target: _Target, _: Mapping[str, str]) -> Done:
    if not pause.pause(target.connector.name, target.name):
        return Done("pause", f"{target.title} is paused already.", changed=False)
    return Done(
        "pause",
        f"{target.title} is paused: no poll begins until it is resumed. One that runs goes on to "
        "its end. Nothing is lost as long as the vendor keeps its events.",
    )


def _resume(target: _Target, _: Mapping[str, str]) -> Done:
    if not pause.resume(target.connector.name, target.name):
        return Done("resume", f"{target.title} is not paused.", changed=False)
    return Done("resume", f"{target.title} goes on from its checkpoints at its timer's next tick.")


def _fetch(target: _Target, asked: Mapping[str, str]) -> Done:
    """Read an hour of what the vendor lists into the table, beside what it posted."""
    hour = parse_time(asked.get("hour", "").strip())
    if hour is None or (hour.minute, hour.second, hour.microsecond) != (0, 0, 0):
        raise CannotOperate("hour is the beginning of a whole hour, as 2026-11-21T13:00Z")
    if hour + HOUR > utc_now():
        raise CannotOperate(f"The hour of {isoformat(hour)} is not over yet")
    connection = open_connection(target.connector, target.name)
    if connection is None or connection.counted is None:
        raise CannotOperate(
            f"{target.title} is polled: replay its stream since {isoformat(hour)} instead"
        )
    name = hour_name(hour)
    with _no_poll(target):
        try:
            done = fetch_hour(target.connector, connection, connection.counted, hour)
        except (VendorError, DestinationError) as error:
            raise CannotOperate(
                f"Not all of {name} came, and it still counts as missing events: fetch it again. "
                f"What came of it arrives a second time then. {error}",
                _UNAVAILABLE,
            ) from error
    return Done(
        "fetch",
        f"{done.records} events of {name} came from {target.connector.name}'s API into the table. "
        f"Posts had brought {done.posted} of that hour: these may repeat, without a common id.",
        changed=done.records > 0,
    )


ACTIONS: Mapping[str, Callable[[_Target, Mapping[str, str]], Done]] = {
    "reset": _reset,
    "replay": _replay,
    "pause": _pause,
    "resume": _resume,
    "fetch": _fetch,
}
