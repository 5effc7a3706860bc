"""Each hour's events: how many posts brought, and how many the vendor's API lists.

A row of table ``ConnectorCheckpoints`` beside the webhook's history, shared by all instances. An
hour is named by its beginning, ``2026-11-21T13:00Z``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from shared.azure import storage
from shared.azure.storage import storage_errors
from shared.records.timestamps import isoformat, parse_time
from shared.state.checkpoint import TABLE
from shared.state.shared_row import change_row
from shared.state.webhook_history import webhook_partition

ROW = "hours"
HOUR = timedelta(hours=1)
# Posts that come later than this are not counted any more.
_KEPT = timedelta(hours=72)
# An event of a later hour has a wrong time.
_AHEAD = timedelta(hours=1)
# A property of Table storage holds 32,768 characters.
_MOST_CHARACTERS = 30_000
_TIMES = ("counted_to", "waits_since", "waits_until")


@dataclass(frozen=True, slots=True)
class HourCounts:
    """What the row holds.

    ``posted`` counts events by hour and account, ``2026-11-21T13:00Z 88211``; ``missing`` has the
    listed and the posted events of each hour in which fewer were posted. Hours before
    ``counted_to`` are counted; None before the first count. ``waits_since`` and ``waits_until``:
    since when counting waits for the vendor's limit of calls, and until when; None where it does
    not.
    """

    posted: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    counted_to: datetime | None = None
    waits_since: datetime | None = None
    waits_until: datetime | None = None

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> HourCounts:
        """Read the row's properties; what is not readable counts as absent."""
        missing = _json(row.get("missing"))
        return cls(
            _json(row.get("posted")),
            {hour: (pair[0], pair[1]) for hour, pair in missing.items()},
            *(parse_time(row.get(name)) for name in _TIMES),
        )

    def posted_in(self, hour: str, account: str) -> int:
        """How many events of an account's hour posts brought."""
        return self.posted.get(f"{hour} {account}", 0)

    def posted_of(self, hour: str) -> int:
        """How many events of an hour posts brought, of all accounts."""
        return _posted_in(self.posted, hour)


def hour_name(moment: datetime) -> str:
    """The hour that a moment lies in."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:00Z")


def read_hours(connector: str, connection: str = "") -> HourCounts:
    """Read the row; raises StorageUnavailable."""
    from azure.core.exceptions import ResourceNotFoundError

    partition = webhook_partition(connector, connection)
    with storage_errors("Reading the hours' counts"):
        try:
            return HourCounts.parse(storage.table(TABLE).get_entity(partition, ROW))
        except ResourceNotFoundError:
            return HourCounts()


def add_posted(connector: str, connection: str, hours: Mapping[str, int], now: datetime) -> None:
    """Add posted events by hour and account; raises StorageUnavailable.

    An hour that missed events misses none any more once late posts have brought as many. Of more
    accounts than the row can hold, the oldest hours' counts go.
    """
    oldest, latest = hour_name(now - _KEPT), hour_name(now + _AHEAD)

    def add(before: HourCounts) -> HourCounts:
        posted = Counter(before.posted)
        posted.update(hours)
        posted = Counter({n: c for n, c in posted.items() if oldest <= n[: len(latest)] <= latest})
        missing = {
            name: (listed, brought)
            for name, (listed, known) in before.missing.items()
            if (brought := max(_posted_in(posted, name), known)) < listed
        }
        return replace(before, posted=_newest_that_fit(posted), missing=missing)

    _change(connector, connection, add)


def keep_listed(
    connector: str, connection: str, hour: datetime, counts: tuple[int, int] | None
) -> None:
    """Note that ``hour`` is counted; ``counts``, listed and posted, where fewer were posted.

    Counting waits no more then. Raises StorageUnavailable.
    """

    def keep(before: HourCounts) -> HourCounts:
        oldest = hour_name(hour - _KEPT)
        missing = {name: pair for name, pair in before.missing.items() if name >= oldest}
        missing.pop(hour_name(hour), None)
        if counts:
            missing[hour_name(hour)] = counts
        counted_to = max(before.counted_to or hour, hour + HOUR)
        return HourCounts(before.posted, missing, counted_to)

    _change(connector, connection, keep)


def forget_missing(connector: str, connection: str, hour: datetime) -> None:
    """Note that the hour's events are all in the table; raises StorageUnavailable."""

    def forget(before: HourCounts) -> HourCounts:
        missing = {name: pair for name, pair in before.missing.items() if name != hour_name(hour)}
        return replace(before, missing=missing)

    _change(connector, connection, forget)


def keep_waiting(connector: str, connection: str, since: datetime, until: datetime) -> None:
    """Note that counting waits for the vendor's limit of calls; raises StorageUnavailable."""

    def wait(before: HourCounts) -> HourCounts:
        return replace(before, waits_since=since, waits_until=until)

    _change(connector, connection, wait)


def told(vendor: str, missing: Mapping[str, tuple[int, int]]) -> str:
    """Say which hours miss events, with both numbers; '' for none."""
    if not missing:
        return ""
    hours = ", ".join(
        f"{hour}: {listed} listed, {posted} posted"
        for hour, (listed, posted) in sorted(missing.items())
    )
    listed = sum(pair[0] for pair in missing.values())
    posted = sum(pair[1] for pair in missing.values())
    return f"{vendor}'s API lists {listed} events, and posts brought {posted} of them ({hours})"


def _newest_that_fit(posted: Mapping[str, int]) -> dict[str, int]:
    """The counts that a property can hold, those of the newest hours."""
    kept: dict[str, int] = {}
    left = _MOST_CHARACTERS
    for name in sorted(posted, reverse=True):
        left -= len(orjson.dumps({name: posted[name]}))
        if left < 0:
            break
        kept[name] = posted[name]
    return kept


def _posted_in(posted: Mapping[str, int], hour: str) -> int:
    return sum(count for name, count in posted.items() if name.startswith(f"{hour} "))


def _change(connector: str, connection: str, change: Callable[[HourCounts], HourCounts]) -> None:
    def changed(row: Mapping[str, Any]) -> Mapping[str, Any]:
        return _properties(change(HourCounts.parse(row)))

    change_row(webhook_partition(connector, connection), ROW, changed, what="the hours' counts")


def _properties(counts: HourCounts) -> dict[str, Any]:
    found = {
        "posted": orjson.dumps(counts.posted).decode(),
        "missing": orjson.dumps(counts.missing).decode(),
    }
    for name in _TIMES:
        moment = getattr(counts, name)
        # A property that is left out would keep its value where rows are merged.
        found[name] = isoformat(moment) if moment else ""
    return found


def _json(text: Any) -> dict[str, Any]:
    try:
        value = orjson.loads(text or "{}")
    except (orjson.JSONDecodeError, TypeError):
        return {}
    return value if isinstance(value, dict) else {}
