"""A timer's tick: poll a connection that is alone, hand out several by the queue.

Azure scales ``ConnectionPoll`` by the length of the queue ``connection-polls``: there is no
scheduler. A message is JSON, ``{"connector", "connection"}``, and lives for an hour.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from shared.azure import storage
from shared.azure.storage import create_on_first_use, storage_errors
from shared.connections.names import set_up
from shared.errors import SettingsError
from shared.polling.run import poll
from shared.source.connector import Connector
from shared.state.keys import connection_key
from shared.state.lease import LastPoll, read_leases
from shared.telemetry.events import emit

QUEUE = "connection-polls"
_LIVES_SECONDS = 3600
# Timers tick a little early or late: what is due on this tick must not wait for the next.
_SLACK = timedelta(seconds=30)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

logger = logging.getLogger("connectors.polling")


class MessageUnreadable(Exception):
    """A message of the queue that this project did not write."""


@dataclass(frozen=True, slots=True)
class PollMessage:
    """A poll that is handed out: of which connector, and of which of its connections."""

    connector: str
    connection: str

    @property
    def whose(self) -> Mapping[str, Any]:
        """The message as dimensions of a log event."""
        return {"Connector": self.connector, "Connection": self.connection}

    def text(self) -> str:
        """The message's text for the queue."""
        return orjson.dumps({"connector": self.connector, "connection": self.connection}).decode()

    @classmethod
    def read(cls, text: bytes | str) -> PollMessage:
        """Parse a message's text; raises MessageUnreadable."""
        try:
            fields = orjson.loads(text)
            connector, connection = fields["connector"], fields["connection"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise MessageUnreadable from error
        if not (isinstance(connector, str) and isinstance(connection, str)):
            raise MessageUnreadable
        return cls(connector, connection)


def tick(connector: Connector) -> None:
    """Poll the connector's connection, or hand out those that are due where it has several.

    Raises SettingsError for names that are none, after all others had their turn; RunFailed where
    the connection that is alone failed; StorageUnavailable.
    """
    found = set_up(connector)
    for suffix, problem in found.problems.items():
        emit(
            logger,
            "connection_misconfigured",
            Connector=connector.name,
            Connection=suffix,
            Message=problem,
        )
    if len(found.names) > 1:
        hand_out(connector, found.names)
    else:
        poll(connector, *found.names)
    if found.problems:
        raise SettingsError(list(dict.fromkeys(found.problems.values())))


def hand_out(connector: Connector, names: Sequence[str]) -> None:
    """Put a message for each connection that is due into the queue; raises StorageUnavailable.

    The one whose last poll began longest ago comes first.
    """
    leases = read_leases()
    keys = {name: connection_key(connector.name, name) for name in names}
    last = {name: leases.polls.get(key, LastPoll()) for name, key in keys.items()}
    due = [
        name
        for name in names
        if keys[name] not in leases.paused and _is_due(last[name], leases.now)
    ]
    for name in names:
        if keys[name] in leases.paused:
            emit(logger, "connection_paused", Connector=connector.name, Connection=name)
    due.sort(key=lambda name: last[name].began or _LONG_AGO)
    queue = storage.queue(QUEUE)
    with storage_errors(f"Writing to the queue {QUEUE}"):
        for name in due:
            text = PollMessage(connector.name, name).text()
            send = functools.partial(queue.send_message, text, time_to_live=_LIVES_SECONDS)
            create_on_first_use(queue.create_queue, send)
    emit(
        logger,
        "polls_handed_out",
        Connector=connector.name,
        Polls=len(due),
        PutOff=len(names) - len(due),
    )


def _is_due(last: LastPoll, now: datetime) -> bool:
    """Whether to hand a connection out: one that is put off waits for its time."""
    return last.due is None or last.due - _SLACK <= now
