"""Count each hour that is over: what the vendor's API lists, and what posts brought.

A webhook cannot tell that a post never came. Posts and API share no id, so that numbers alone are
compared, by account and hour of the events' own times. A call lists so many events as the vendor's
page has.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from shared.errors import VendorError
from shared.polling.throttled import MOST_WAIT, Wait, is_throttled, wait_after
from shared.records.raw import decoded
from shared.records.timestamps import parse_time
from shared.source.connector import Connection, Connector
from shared.source.push import EventFormat
from shared.source.stream import Source, Window
from shared.state.posted_hours import (
    HOUR,
    HourCounts,
    hour_name,
    keep_listed,
    keep_waiting,
    read_hours,
    told,
)
from shared.telemetry.run import RunCounters, RunResult, RunState

# An event may appear, and a post may be tried again, so long after the hour's end.
SETTLED = timedelta(minutes=15)
# After a longer stop of the timer, older hours are not counted.
_MOST_HOURS = 48


def compare(
    connector: Connector, connection: Connection, counters: RunCounters, deadline: float
) -> RunResult | None:
    """Count the hours that are due; a late result where posts brought fewer events.

    Counting begins with the hour that begins after the first call: posts have been counted for all
    of that one. Stop between hours at ``deadline``, a reading of ``time.monotonic``. Where the
    vendor's limit of calls is used up, the other hours wait for its renewal, and the result says
    so. Raises the VendorError tree and StorageError; hours counted before that stay counted, and
    are told instead of the error where they miss events.
    """
    source, form = connection.counted, connector.events
    if source is None or form is None:
        return None
    whose, now = (counters.connector, counters.connection), counters.started
    known = read_hours(*whose)
    if known.waits_since and known.waits_until and now < known.waits_until <= now + MOST_WAIT:
        return _waiting(counters, Wait(connector.name, known.waits_since, known.waits_until))
    connection.client.begin(deadline)
    missing: dict[str, tuple[int, int]] = {}
    wait: Wait | None = None
    try:
        for name, counts in _missing_hours(counters, source, form, known, deadline):
            missing[name] = counts  # noqa: PERF403 - keep those before an error
    except VendorError as error:
        if is_throttled(error):
            since = read_hours(*whose).waits_since  # None where an hour was counted since
            wait = wait_after(error, connector.name, since, now)
            keep_waiting(*whose, wait.since, wait.until)
        elif not missing:
            raise
    counters.requests, counters.retries = connection.client.requests, connection.client.retries
    if missing:
        return counters.result(RunState.LATE, note=told(connector.name, missing))
    return _waiting(counters, wait) if wait else None


def _waiting(counters: RunCounters, wait: Wait) -> RunResult:
    """The result of counting that waits; raises VendorUnavailable where that lasts."""
    if error := wait.error(counters.started):
        raise error
    return counters.result(RunState.CATCHING_UP, note=wait.note, waits_until=wait.until)


def _missing_hours(
    counters: RunCounters, source: Source, form: EventFormat, known: HourCounts, deadline: float
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Count the hours that are due; yield the listed and the posted events of those that miss some.

    Raises as ``compare``.
    """
    whose, now = (counters.connector, counters.connection), counters.started
    last = (now - SETTLED).replace(minute=0, second=0, microsecond=0)
    if known.counted_to is None:
        keep_listed(*whose, now.replace(minute=0, second=0, microsecond=0), None)
        return
    hour = max(known.counted_to, last - _MOST_HOURS * HOUR)
    while hour < last and time.monotonic() < deadline:
        name = hour_name(hour)
        listed = _listed(source, form, hour)
        posted = {account: known.posted_in(name, account) for account in listed}
        fewer = any(posted[account] < count for account, count in listed.items())
        counts = (listed.total(), sum(posted.values())) if fewer else None
        keep_listed(*whose, hour, counts)
        if counts:
            yield name, counts
        hour += HOUR


def _listed(source: Source, form: EventFormat, hour: datetime) -> Counter[str]:
    """How many events of the hour the API lists, by account."""
    found: Counter[str] = Counter()
    seen: set[Any] = set()
    (key,) = source.stream.keys[0]
    with contextlib.closing(source.pages(Window(hour, hour + HOUR))) as pages:  # type: ignore[type-var]
        for page in pages:
            for record in page.records:
                event = decoded(record)
                moment = parse_time(event.get(source.stream.watermark))
                # Posts tell seconds alone: compare both by those.
                within = moment is not None and hour_name(moment) == hour_name(hour)
                if within and event.get(key) not in seen:
                    seen.add(event.get(key))
                    found[form.account(event)] += 1
    return found
