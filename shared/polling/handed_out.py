"""The work of ``ConnectionPoll``: poll the connection that a message hands out."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime

from shared.connections.names import set_up
from shared.connections.opening import open_connection
from shared.connections.registry import polled
from shared.delivery.sink import sink_for
from shared.errors import ConnectorError, LeaseLost, SettingsError
from shared.health import rows
from shared.polling.budget import budget_seconds
from shared.polling.handing_out import QUEUE, MessageUnreadable, PollMessage
from shared.polling.poll_lease import lease_to_poll
from shared.polling.run import PollRun, poll_under
from shared.settings.app import read_destination, read_polling
from shared.source.connector import Connector
from shared.state.lease import LastPoll, PollLease
from shared.telemetry.events import emit
from shared.telemetry.run import RunState

# A handed-out poll has a timer's interval from when its message was taken, a waiting one the least.
INTERVAL_SECONDS = 300.0
_LEAST_SECONDS = 60.0
# What fails again and again before the lease is held ends a message before the host calls it
# poison: the next tick hands its connection out anyway.
_MOST_TIMES_SHOWN = 4

logger = logging.getLogger("connectors.polling")


@dataclass(frozen=True, slots=True)
class Taken:
    """A message as the host gives it.

    ``inserted`` is when it was put in, by Storage's clock; ``times_shown`` counts from 1; ``at`` is
    a reading of ``time.monotonic`` when it was taken.
    """

    text: bytes | str
    message_id: str
    inserted: datetime | None
    times_shown: int
    at: float


def poll_handed_out(taken: Taken) -> None:
    """Poll the connection that ``taken`` names, unless it was polled since.

    Raises RunFailed and SettingsError, once: shown again, the message is dropped. Raises
    ConnectorError where the lease could not be asked for: the message is shown again, and left to
    the next tick at the last of those times.
    """
    try:
        message = PollMessage.read(taken.text)
    except MessageUnreadable:
        logger.error("A message of the queue %s cannot be read, and is dropped", QUEUE)
        return
    connector = next((each for each in polled() if each.name == message.connector), None)
    if connector is None or not _is_known(connector, message.connection):
        emit(logger, "connection_unknown", **message.whose)
        return
    try:
        _poll_once(connector, message, taken)
    except LeaseLost as error:
        emit(logger, "lease_lost", **message.whose, Message=str(error))
    except ConnectorError as error:
        if taken.times_shown < _MOST_TIMES_SHOWN:
            raise
        logger.error("A poll is left to the next tick: %s", error)


def _is_known(connector: Connector, name: str) -> bool:
    found = set_up(connector)
    return name in found.names or name in found.problems


def _poll_once(connector: Connector, message: PollMessage, taken: Taken) -> None:
    name = message.connection
    with lease_to_poll(connector.name, name) as lease:
        if lease is None:
            return
        if superseded(lease.last, taken):
            emit(logger, "poll_dropped", **message.whose)
            return
        lease.begin(taken.message_id)
        run = _opened(connector, name, lease, taken)
        poll_under(lease, run, put_off=True)


def superseded(last: LastPoll, taken: Taken) -> bool:
    """Whether a poll began after the message was put in, or by this very message.

    Both times are Storage's, in whole seconds: within one second the message's id decides.
    """
    if last.began is None:
        return False
    return last.message == taken.message_id or (
        taken.inserted is not None and last.began > taken.inserted
    )


def _opened(connector: Connector, name: str, lease: PollLease, taken: Taken) -> PollRun:
    """The run of the connection; its wrong settings are told by a health row."""
    left = taken.at + INTERVAL_SECONDS - time.monotonic()
    try:
        connection = open_connection(connector, name)
        if connection is None:
            raise SettingsError([f"The connection {name} of {connector.name} is not set up"])
        return PollRun(
            connector,
            connection,
            sink_for(read_destination(name)),
            read_polling(),
            budget=min(max(left, _LEAST_SECONDS), budget_seconds()),
        )
    except SettingsError as error:
        lease.end(RunState.FAILING)
        rows.post_misconfigured(connector.name, name, error)
        raise
