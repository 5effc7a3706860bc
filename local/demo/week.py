"""The demo's week of every vendor in a workspace, each record arriving on its own day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from local.vendors.registry import vendors
from local.vendors.traffic import WEEK, Period
from local.vendors.vendor import Account, PostingAccount, Vendor
from local.workspace.workspace import Workspace
from shared.connections.registry import connectors
from shared.records.declared import declared_fields
from shared.records.encoder import Encoder
from shared.records.raw import getter
from shared.records.timestamps import parse_time
from shared.source.stream import Stream

DAY = timedelta(days=1)
# Everything of a day arrives a little before its end, when the rules look.
_BEFORE_ITS_END = timedelta(minutes=1)
Arrivals = dict[datetime, dict[str, list[dict[str, Any]]]]


class Week:
    """A week that ends at ``end``, in an empty workspace whose time goes day by day."""

    def __init__(self, end: datetime, size: float = 1.0) -> None:
        self.now = end - WEEK
        self._arrivals = arrivals(Period(self.now, end, size))
        self.workspace = Workspace(None, now=lambda: self.now)

    def days(self) -> Iterator[datetime]:
        """Let a day pass at a time; yield its end, when everything of it has arrived."""
        for _ in range(WEEK // DAY):
            end = self.now + DAY
            self.now = end - _BEFORE_ITS_END
            for stream, records in self._arrivals.get(end, {}).items():
                self.workspace.ingest(stream, records)
            self.now = end
            yield end


def arrivals(period: Period) -> Arrivals:
    """What arrives in each day, by the day's end and by stream."""
    found: Arrivals = defaultdict(lambda: defaultdict(list))
    streams = {stream.name: stream for each in connectors() for stream in each.streams}
    for vendor in vendors():
        with vendor.serve(0) as account:
            account.fill(period)
            for name, records in _records(vendor, account):
                encoded = _encoder(streams[name])
                for record in records:
                    moment, row = encoded(record, period.start)
                    days = max(-(-(moment - period.start) // DAY), 1)
                    found[period.start + days * DAY][name].append(row)
    return found


def _records(vendor: Vendor, account: Account) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for stream in vendor.streams:
        if isinstance(account, PostingAccount):
            yield stream.stream, list(account.pending())
        else:
            yield stream.stream, account.records(stream)


def _encoder(stream: Stream) -> Callable[[dict[str, Any], datetime], tuple[datetime, Any]]:
    """A function from a record to its time (or the given one) and what the app sends of it."""
    encode = Encoder(declared_fields(stream.name), stream.added, stream.redact)
    event_time = getter(stream.event_time) if stream.event_time else None

    def send(record: dict[str, Any], otherwise: datetime) -> tuple[datetime, Any]:
        moment = (parse_time(event_time(record)) if event_time else None) or otherwise
        return moment.astimezone(UTC), orjson.loads(encode(record, moment))

    return send
