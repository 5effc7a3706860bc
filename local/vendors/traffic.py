"""Believable traffic of a period: numbered moments, some of them shared, some reported late."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

WEEK = timedelta(days=7)
MOST_LATE = timedelta(minutes=8)
SEED = 20240229
SMALLEST_SHARE = 0.002
RECENT = 12
TIED_SHARE = 0.05

Moment = tuple[int, datetime]


@dataclass(frozen=True, slots=True)
class Period:
    """The time between two runs of the demo; `size` scales a week's numbers (1: some ten thousand).

    `share` is the part of a week's records that happens in it. It has a least value, so that a run
    soon after the last one has something to send too.
    """

    start: datetime
    end: datetime
    size: float = 1.0

    @property
    def share(self) -> float:
        """1 for a week."""
        return max(SMALLEST_SHARE, (self.end - self.start) / WEEK)


class Traffic:
    """The moments of one period at one vendor: the same for the same vendor, period and `made`.

    `made` counts the moments of all periods so far, so that no number comes twice.
    """

    def __init__(self, vendor: str, period: Period, made: int) -> None:
        self.made = made
        self._period = period
        self._random = random.Random(f"{SEED}{vendor}{made}")

    def spread(self, a_week: float) -> list[Moment]:
        """Numbered moments over the period, in order; `a_week` is how many a whole week has."""
        period = self._period
        return list(self._moments(period.start, period.end, a_week * period.share))

    def with_late(self, a_week: float) -> tuple[list[Moment], list[Moment]]:
        """Moments as spread(), and RECENT more of the last minutes: those on time, those late.

        Every second moment of the last minutes is late: its record appears after the next poll.
        """
        end = self._period.end
        moments = [*self.spread(a_week), *self._moments(end - MOST_LATE, end, RECENT)]
        late = {n for n, at in moments if at > end - MOST_LATE and n % 2}
        on_time = [moment for moment in moments if moment[0] not in late]
        return on_time, [moment for moment in moments if moment[0] in late]

    def _moments(self, start: datetime, end: datetime, count: float) -> Iterator[Moment]:
        """Some moments are shared by several records, as in a vendor's bulk import."""
        span = (end - start).total_seconds()
        drawn = max(1, round(count * self._period.size))
        offsets = sorted(self._random.random() * span for _ in range(drawn))
        previous = offsets[0]
        for offset in offsets:
            tied = self._random.random() < TIED_SHARE
            previous = previous if tied else offset
            self.made += 1
            yield self.made, start + timedelta(seconds=previous)
