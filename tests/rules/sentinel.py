"""Runs an analytics rule on a local workspace, as Microsoft Sentinel would, on a test's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from local.workspace import Workspace
from shared.records import declared_fields, encode
from tests.rules.files import Rule

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

# A rule is looked at for this many runs after an arrival; where nothing arrives, nothing is new.
_RUNS_AFTER_AN_ARRIVAL = 4


@dataclass
class Sentinel:
    """A workspace, what is going to arrive in it, and the time."""

    now: datetime = NOON
    _arrivals: list[tuple[datetime, str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.workspace = Workspace(None, now=lambda: self.now)

    def arrives(self, at: datetime, stream: str, record: Mapping[str, Any]) -> None:
        """``record``, as the function or TrapEye sends it, will be ingested at ``at``."""
        self._arrivals.append((at, stream, dict(record)))

    def alerts(self, rule: Rule, since: datetime | None = None) -> list[dict[str, Any]]:
        """What the rule finds in its runs (from ``since`` on): one alert a row, in order.

        The rule runs at noon and every ``frequency`` before and after.
        """
        found: list[dict[str, Any]] = []
        self._arrivals.sort(key=lambda arrival: arrival[0])
        waiting = list(self._arrivals)
        for tick in self._ticks(rule.frequency):
            while waiting and waiting[0][0] <= tick:
                self.now, stream, record = waiting.pop(0)
                self.workspace.ingest(stream, [record])
            self.now = tick
            if since is None or tick >= since:
                found += self._run(rule)
        assert not waiting
        return found

    def _ticks(self, frequency: timedelta) -> list[datetime]:
        ticks: set[datetime] = set()
        for at, _, _ in self._arrivals:
            first = NOON + frequency * -((NOON - at) // frequency)
            ticks |= {first + frequency * number for number in range(_RUNS_AFTER_AN_ARRIVAL)}
        return sorted(ticks)

    def _run(self, rule: Rule) -> list[dict[str, Any]]:
        result = self.workspace.query(rule.query)
        names = [name for name, _ in result.columns]
        return [dict(zip(names, row, strict=True)) for row in result.rows]

    def close(self) -> None:
        """Lets the workspace go."""
        self.workspace.close()


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
