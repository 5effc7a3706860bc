"""A believable week at each vendor: thousands of records, some late, some changed, some tied."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from local.vendors.jira import Jira
from local.vendors.jira_records import jira_record
from local.vendors.onelogin_records import onelogin_event
from local.vendors.sentinelone import SentinelOne
from local.vendors.sentinelone_records import (
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

WEEK = timedelta(days=7)
SEED = 20240229
REPORTED_AFTER = timedelta(seconds=7)
MOST_LATE = timedelta(minutes=8)
RECENT = 12  # events of each kind in those minutes, beyond a week's even pace


def _reported(n: int, at: datetime) -> Record:
    """An alert that is reported at that moment: until then the vendor does not show it."""
    return alert(n, at - REPORTED_AFTER, at)


@dataclass(slots=True)
class History:
    """Makes records in order of their time, and never the same twice: it counts on.

    `size` scales the numbers: 1 is some ten thousand records a week.
    """

    size: float = 1.0
    made: int = 0
    late: list[tuple[str, Record]] = field(default_factory=list)

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
            ("alerts", _reported, 300),
            ("unifiedalerts", unified_alert, 250),
            ("threats", threat, 200),
            ("devicecontrol", device_event, 600),
            ("applications", application, 800),
        ]
        for stream, make, a_week in kinds:
            numbered = [
                *self._moments(source, start, end, a_week * share),
                *self._moments(source, end - MOST_LATE, end, RECENT),
            ]
            late, at_once = self._apart(numbered, end)
            sentinelone.add(stream, (make(n, at) for n, at in at_once))
            self.late += [(stream, make(n, at)) for n, at in late]
        numbered = [
            *self._moments(source, start, end, 2500 * share),
            *self._moments(source, end - MOST_LATE, end, RECENT),
        ]
        late, at_once = self._apart(numbered, end)
        jira.add(jira_record(n, at) for n, at in at_once)
        self.late += [("jira", jira_record(n, at)) for n, at in late]
        events = self._moments(source, start, end, 1500 * share)
        return [onelogin_event(n, at) for n, at in events]

    def appear(self, sentinelone: SentinelOne, jira: Jira) -> int:
        """What was late shows up now, with its own time of minutes ago; returns how many."""
        for stream, record in self.late:
            if stream == "jira":
                jira.add([record])
            else:
                sentinelone.add(stream, [record])
        count, self.late = len(self.late), []
        return count

    def changes(self, sentinelone: SentinelOne, now: datetime) -> int:
        """Threats are worked on and agents report: both change in place. Returns how many."""
        stamp = when(now)
        changed = sentinelone.ids("threats")[::9]
        for record_id in changed:
            changes = {"threatInfo.incidentStatus": "resolved", "threatInfo.updatedAt": stamp}
            sentinelone.update("threats", record_id, changes)
        reporting = sentinelone.ids("agents")[::11]
        for record_id in reporting:
            heartbeat = {"lastActiveDate": stamp, "updatedAt": stamp, "isActive": True}
            sentinelone.update("agents", record_id, heartbeat)
        return len(changed) + len(reporting)

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

    @staticmethod
    def _apart(
        numbered: list[tuple[int, datetime]], end: datetime
    ) -> tuple[list[tuple[int, datetime]], list[tuple[int, datetime]]]:
        """Every second event of the last minutes is late; the others are there at once."""
        late = [(n, at) for n, at in numbered if at > end - MOST_LATE and n % 2]
        return late, [(n, at) for n, at in numbered if at <= end - MOST_LATE or n % 2 == 0]

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
