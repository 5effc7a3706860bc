"""Runs an analytics rule on a local workspace, as Microsoft Sentinel would, on a test's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from local.workspace.workspace import Workspace
from shared.records.declared import declared_fields
from shared.records.encoder import encode
from tests.rules.files import Rule
from tools.content import Table

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

# A rule is looked at for this many runs after an arrival; where nothing arrives, nothing is new.
_RUNS_AFTER_AN_ARRIVAL = 3
# A test begins this long after the one before it, further than any rule looks back.
_APART = timedelta(days=60)


class Clock:
    """A workspace whose time a test sets."""

    def __init__(self, tables: Sequence[Table] | None = None) -> None:
        self.now = NOON
        self.workspace = Workspace(None, now=lambda: self.now, tables=tables)

    def sentinel(self) -> Sentinel:
        """Rules on this workspace, at a noon at which nothing that came before counts."""
        self.now = (self.now + _APART).replace(hour=12, minute=0, second=0, microsecond=0)
        return Sentinel(self, self.now)


@dataclass
class Sentinel:
    """What is going to arrive in a workspace from ``noon`` on, and what rules find there."""

    clock: Clock
    noon: datetime
    _arrivals: list[tuple[datetime, str, dict[str, Any]]] = field(default_factory=list)

    def arrives(self, at: datetime, stream: str, record: Mapping[str, Any]) -> None:
        """``record``, as the function or TrapEye sends it, will be ingested at ``at``."""
        self._arrivals.append((at, stream, dict(record)))

    def alerts(self, rule: Rule, since: datetime | None = None) -> list[dict[str, Any]]:
        """What the rule finds in its runs (from ``since`` on): one alert a row, in order.

        The rule runs at noon and every ``frequency`` before and after.
        """
        found: list[dict[str, Any]] = []
        self._arrivals.sort(key=lambda arrival: arrival[:2])
        waiting = list(self._arrivals)
        for tick in self._ticks(rule.frequency):
            while waiting and waiting[0][0] <= tick:
                self.clock.now, stream, _ = waiting[0]
                together = [one for one in waiting if one[:2] == waiting[0][:2]]
                waiting = waiting[len(together) :]
                self.clock.workspace.ingest(stream, [record for _, _, record in together])
            self.clock.now = tick
            if since is None or tick >= since:
                found += self._run(rule)
        assert not waiting
        return found

    def _ticks(self, frequency: timedelta) -> list[datetime]:
        ticks: set[datetime] = set()
        for at, _, _ in self._arrivals:
            first = self.noon + frequency * -((self.noon - at) // frequency)
            ticks |= {first + frequency * number for number in range(_RUNS_AFTER_AN_ARRIVAL)}
        return sorted(ticks)

    def _run(self, rule: Rule) -> list[dict[str, Any]]:
        return self.clock.workspace.query(rule.query).dicts()


def sent(
    stream: str,
    record: Mapping[str, Any],
    time: datetime,
    added: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A vendor's record as the function sends it to ``stream``."""
    body = encode(record, time_generated=time, declared=declared_fields(stream), added=added or {})
    sending: dict[str, Any] = orjson.loads(body)
    return sending
