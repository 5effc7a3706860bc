"""Read the events of a body: each is decoded, encoded for its sink and dropped again.

Only the encoded records stay in memory, at most about as large as the body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared.delivery.dead_letters import Refused
from shared.records.encoder import Encoder
from shared.records.timestamps import utc_now
from shared.source.push import EventFormat
from shared.state.posted_hours import hour_name
from shared.webhook.body import BodyRefused, ElementUnreadable, decode, elements


@dataclass(slots=True)
class Events:
    """A body's events, encoded, with their ids (parallel lists), and its parts that are no events.

    ``hours``, parallel too, has each event's hour and account as ``HourCounts.posted`` has them.

    ``newest`` is the time of the newest event, None where no event has one; ``undated`` counts the
    events without a time.
    """

    ids: list[str | None] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    hours: list[str] = field(default_factory=list)
    invalid: list[Refused] = field(default_factory=list)
    newest: datetime | None = None
    undated: int = 0


def read_events(
    text: bytes, form: EventFormat, declared: frozenset[str] | None, connection: str = ""
) -> Events:
    """Read and encode the events of ``text``, an unpacked body.

    ``declared`` has the fields that the sink declares, None for all; ``connection`` is the name of
    the one that posted them. Raises ``BodyRefused``, also
    where no element can be decoded.
    """
    split = elements(text)
    found = Events()
    encode = Encoder(declared, redact=form.stream.redact, connection=connection)
    received = utc_now()
    unreadable: list[str] = []
    for element in split.values:
        try:
            event = form.event(decode(element))
            if event is None:
                found.invalid.append(
                    Refused(bytes(element), 0, "An element of the body is no object")
                )
                continue
            moment = form.event_time(event)
            record = encode(event, moment or received)
        except (ElementUnreadable, RecursionError) as error:
            reason = str(error) if isinstance(error, ElementUnreadable) else ""
            unreadable.append(reason or "An element is nested too deeply")
            found.invalid.append(Refused(bytes(element), 0, unreadable[-1]))
            continue
        found.ids.append(form.event_id(event))
        found.records.append(record)
        found.hours.append(f"{hour_name(moment or received)} {form.account(event)}")
        if moment is None:
            found.undated += 1
        else:
            # An event's wrong time must not say that events of the years to come are delivered.
            moment = min(moment, received)
            found.newest = max(found.newest or moment, moment)
    if unreadable and len(unreadable) == len(split.values):
        raise BodyRefused(400, f"The body cannot be read: {unreadable[0]}", text)
    found.invalid += _no_json(split.unreadable)
    return found


def _no_json(lines: Sequence[bytes]) -> list[Refused]:
    return [Refused(line, 0, "A line of the body is not JSON") for line in lines]
