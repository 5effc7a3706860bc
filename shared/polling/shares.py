"""How a run's time is shared among the streams of a connection."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from shared.source.connector import Connection
from shared.source.stream import Source

# Deliver the last pages for an eighth of a stream's share longer than fetching, 90 % of the
# function's timeout in all, and for no less than a 32nd of the budget.
DELIVERY_SHARE = 0.125
_LEAST_DELIVERY = 1 / 32
# A stream that is behind is polled once more in a run where at least this share of it is left.
_LEAST_SHARE = 1 / 50
_LAST_ANSWER_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class StreamTask:
    """A stream's part of a run; the deadlines are readings of ``time.monotonic``.

    Start no page after ``fetch_deadline`` and no upload after ``deliver_deadline``.
    """

    connection: Connection
    source: Source
    fetch_deadline: float
    deliver_deadline: float

    def over(self, connection: Connection) -> StreamTask:
        """The same stream's task over another connection."""
        name = self.source.stream.name
        source = next(source for source in connection.sources if source.stream.name == name)
        return replace(self, connection=connection, source=source)


class Shares:
    """The time of a run of ``budget`` seconds that begins now.

    First each stream has its share; what is left then goes to those that are behind.
    """

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._deadline = time.monotonic() + budget
        self._end = self._deadline + budget * DELIVERY_SHARE

    @property
    def deadline(self) -> float:
        """Until when to fetch, a reading of ``time.monotonic``."""
        return self._deadline

    def task(self, connection: Connection, number: int, sharing: int) -> StreamTask:
        """Share the remaining time equally: one stream's backlog must not starve the others.

        ``sharing`` counts the streams of this round that are still to come, with this one.
        """
        now = time.monotonic()
        share = max(self._deadline - now, 0.0) / sharing
        longer = max(share * DELIVERY_SHARE, self._budget * _LEAST_DELIVERY)
        return StreamTask(
            connection=connection,
            source=connection.sources[number],
            fetch_deadline=now + share,
            deliver_deadline=min(now + share + longer, self._end),
        )

    def suffice(self, streams: int) -> bool:
        """Whether enough is left to poll so many streams once more."""
        return self._deadline - time.monotonic() >= self._budget * _LEAST_SHARE * streams

    def answers_until(self, task: StreamTask) -> float:
        """Until when the page in flight at the fetch deadline may arrive."""
        return min(task.fetch_deadline + _LAST_ANSWER_SECONDS, self._end)
