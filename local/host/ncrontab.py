"""Azure's NCRONTAB: `{second} {minute} {hour} {day} {month} {day-of-week}`, in UTC.

https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
FARTHEST = timedelta(days=366 * 5)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The seconds, minutes, hours, days, months and weekdays on which a timer ticks."""

    fields: tuple[frozenset[int], ...]

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Parse a schedule; five fields mean second 0. Raises ValueError with the wrong part."""
        parts = text.split()
        if len(parts) == 5:
            parts.insert(0, "0")
        if len(parts) != 6:
            raise ValueError(f"the schedule {text!r} has {len(parts)} fields, not six")
        names = ((), (), (), (), MONTHS, DAYS)
        fields = (
            _field(part, low, high, named)
            for part, (low, high), named in zip(parts, RANGES, names, strict=True)
        )
        return cls(tuple(fields))

    def next(self, after: datetime) -> datetime:
        """The first tick later than `after`; raises ValueError where five years have none."""
        seconds, minutes, hours, days, months, weekdays = self.fields
        moment = after.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        last = moment + FARTHEST
        while moment < last:
            weekday = (moment.weekday() + 1) % 7
            if moment.month not in months or moment.day not in days or weekday not in weekdays:
                moment = moment.replace(hour=0, minute=0, second=0) + timedelta(days=1)
            elif moment.hour not in hours:
                moment = moment.replace(minute=0, second=0) + timedelta(hours=1)
            elif moment.minute not in minutes:
                moment = moment.replace(second=0) + timedelta(minutes=1)
            elif moment.second not in seconds:
                moment += timedelta(seconds=1)
            else:
                return moment
        raise ValueError("the schedule never ticks")


def _field(text: str, low: int, high: int, names: tuple[str, ...]) -> frozenset[int]:
    chosen: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"(\*|\w+(?:-\w+)?)(?:/(\d+))?", part)
        if not found:
            raise ValueError(f"{part!r} is no part of a schedule")
        span, step = found[1], int(found[2] or 1)
        if span == "*":
            first, last = low, high
        else:
            begin, _, end = span.partition("-")
            first = _value(begin, names, low)
            last = _value(end, names, low) if end else (high if found[2] else first)
        if not low <= first <= last <= high or step < 1:
            raise ValueError(f"{part!r} is not within {low} to {high}")
        chosen.update(range(first, last + 1, step))
    return frozenset(chosen)


def _value(text: str, names: tuple[str, ...], low: int) -> int:
    if text.isdigit():
        return int(text)
    if text.lower() in names:
        return names.index(text.lower()) + low
    raise ValueError(f"{text!r} is neither a number nor a name")
