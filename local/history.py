"""A believable week at each vendor: thousands of records, some late, some changed, some tied."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from local.makers import (
    ACCOUNT,
    SITES,
    Record,
    activity,
    agent,
    alert,
    application,
    device_event,
    group,
    policy,
    site,
    threat,
    unified_alert,
    when,
)
from local.makers_saas import jira_record, onelogin_event
from local.vendors.jira import Jira
from local.vendors.sentinelone import SentinelOne

WEEK = timedelta(days=7)
SEED = 20240229
BULK = 100_000_000
LATE = 50  # one record in so many shows up minutes after its own time
MOST_LATE = timedelta(minutes=8)


def activities(count: int, hours: float, until: datetime) -> Iterator[Record]:
    """So many activities of about a kilobyte, spread evenly over the hours before `until`.

    Their ids are none of a History's.
    """
    step = timedelta(hours=hours) / max(count, 1)
    start = until - timedelta(hours=hours)
    return (activity(n, start + (n - BULK) * step) for n in range(BULK, BULK + count))


@dataclass(slots=True)
class History:
    """Makes records in order of their time, and never the same twice: it counts on.

    `size` scales the numbers: 1 is some ten thousand records a week.
    """

    size: float = 1.0
    made: int = 0

    def week(self, sentinelone: SentinelOne, jira: Jira, now: datetime) -> list[Record]:
        """Fills both vendors with the week before `now`; returns OneLogin's events of that time."""
        start = now - WEEK
        self._tenant(sentinelone, now)
        return self.span(sentinelone, jira, start, now, share=1.0)

    def span(
        self,
        sentinelone: SentinelOne,
        jira: Jira,
        start: datetime,
        end: datetime,
        *,
        share: float,
    ) -> list[Record]:
        """What happens between two moments; `share` of a week's numbers."""
        source = random.Random(f"{SEED}{self.made}")
        kinds: list[tuple[str, Callable[[int, datetime], Record], int]] = [
            ("activities", activity, 6000),
            ("alerts", alert, 300),
            ("unifiedalerts", unified_alert, 250),
            ("threats", threat, 200),
            ("devicecontrol", device_event, 600),
            ("applications", application, 800),
        ]
        for stream, make, a_week in kinds:
            for n, moment in self._moments(source, start, end, a_week * share):
                record = make(n, moment)
                late = n % LATE == 0 and moment > end - MOST_LATE
                shown = end + source.random() * MOST_LATE / 8 if late else None
                sentinelone.add(stream, [record], visible_at=shown)
        jira.add(jira_record(n, at) for n, at in self._moments(source, start, end, 2500 * share))
        events = self._moments(source, start, end, 1500 * share)
        return [onelogin_event(n, at) for n, at in events]

    def changes(self, sentinelone: SentinelOne, now: datetime) -> None:
        """Threats are worked on and agents report: both change in place."""
        stamp = when(now)
        for record_id in sentinelone.ids("threats")[::9]:
            changes = {"threatInfo.incidentStatus": "resolved", "threatInfo.updatedAt": stamp}
            sentinelone.update("threats", record_id, changes)
        for record_id in sentinelone.ids("agents")[::11]:
            heartbeat = {"lastActiveDate": stamp, "updatedAt": stamp, "isActive": True}
            sentinelone.update("agents", record_id, heartbeat)

    def _tenant(self, sentinelone: SentinelOne, now: datetime) -> None:
        """Agents, groups, sites, accounts and their policies."""
        source = random.Random(SEED)
        agents = round(900 * self.size)
        ago = (timedelta(minutes=source.uniform(1, 7 * 24 * 60)) for _ in range(agents))
        sentinelone.add("agents", (agent(n, now - past) for n, past in enumerate(ago)))
        groups = max(4, round(30 * self.size))
        sentinelone.add("groups", (group(n, now - timedelta(hours=3 + n)) for n in range(groups)))
        sentinelone.add("sites", (site(n) for n in range(len(SITES))))
        account = {"id": ACCOUNT["accountId"], "name": ACCOUNT["accountName"], "state": "active"}
        sentinelone.add("accounts", [account])
        scopes = [("tenant", ""), ("accounts", str(ACCOUNT["accountId"]))]
        scopes += [("sites", site_id) for site_id, _ in SITES]
        scopes += [("groups", group_id) for group_id in sentinelone.ids("groups")]
        sentinelone.policies |= {scope: policy(n) for n, scope in enumerate(scopes)}

    def _moments(
        self, source: random.Random, start: datetime, end: datetime, count: float
    ) -> Iterator[tuple[int, datetime]]:
        """Numbered moments in order; now and then several share one, as in an import."""
        span = (end - start).total_seconds()
        offsets = sorted(source.random() * span for _ in range(max(1, round(count * self.size))))
        previous = offsets[0]
        for offset in offsets:
            tied = source.random() < 0.05
            previous = previous if tied else offset
            self.made += 1
            yield self.made, start + timedelta(seconds=previous)
