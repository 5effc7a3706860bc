"""Read one hour of what a vendor lists into the table, where its posts did not bring all of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.delivery.batch import Packer
from shared.delivery.batch_sender import BatchSender
from shared.delivery.dead_letters import DeadLetters
from shared.delivery.sink import sink_for
from shared.polling.prepare import PreparedPage, RecordPreparer
from shared.settings.app import read_destination
from shared.source.connector import Connection, Connector
from shared.source.stream import Source, Window
from shared.state.fingerprints import Fingerprint
from shared.state.posted_hours import HOUR, forget_missing, hour_name, read_hours

# Azure ends an HTTP request after 230 s.
_FETCH_SECONDS = 150.0
_DELIVERY_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class FetchedHour:
    """How many events were read into the table; how many of the hour posts had brought."""

    records: int
    posted: int


def fetch_hour(
    connector: Connector, connection: Connection, source: Source, hour: datetime
) -> FetchedHour:
    """Deliver the hour's listed events; it misses none then.

    Raises the ConnectorError tree: a part of the events may have arrived then, and the hour stays
    one that misses events.
    """
    began = time.monotonic()
    connection.client.begin(began + _FETCH_SECONDS)
    stream = source.stream
    sink = sink_for(read_destination(connection.name))
    prepare = RecordPreparer(stream, sink.declared(stream.name), connection.name)
    sender = BatchSender(sink, DeadLetters(), connection=connection.name)
    packer = Packer(stream.name)
    seen: set[Fingerprint] = set()
    deadline = began + _FETCH_SECONDS + _DELIVERY_SECONDS
    with contextlib.closing(source.pages(Window(hour, hour + HOUR))) as pages:  # type: ignore[type-var]
        for page in pages:
            for body in _new_of_the_hour(prepare(page), hour, seen):
                if full := packer.add(body):
                    sender.deliver(full, deadline)
    if last := packer.flush():
        sender.deliver(last, deadline)
    posted = read_hours(connector.name, connection.name).posted_of(hour_name(hour))
    forget_missing(connector.name, connection.name, hour)
    return FetchedHour(sender.counters.accepted, posted)


def _new_of_the_hour(page: PreparedPage, hour: datetime, seen: set[Fingerprint]) -> Sequence[bytes]:
    found: list[bytes] = []
    for body, known, moment in zip(page.bodies, page.fingerprints, page.times, strict=True):
        if moment and hour_name(moment) == hour_name(hour) and known not in seen:
            seen.add(known)
            found.append(body)
    return found
