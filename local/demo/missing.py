"""Posts that never come: the app counts, tells, and reads the hour by the vendor's API."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from local.demo.accounts import Served
from local.demo.clock import app_clock
from local.demo.progress import say
from local.host.host import Host
from local.loopback.faults import FOREVER, answer
from local.vendors.vendor import CountedAccount
from shared.health.webhook import health_of
from shared.state.posted_hours import HOUR, hour_name, read_hours
from shared.telemetry.humanize import many

# The app counts the posts of so many hours before the demo; each is a call or two.
COUNTED = timedelta(hours=12)
# An hour is counted a quarter of an hour after its end.
_SETTLED = timedelta(minutes=15)
_SECONDS = 30.0

Step = Callable[[str, Callable[[], str]], None]


class NotTold(Exception):
    """The app did not tell what never came, or did not fetch it."""


@dataclass(slots=True)
class MissingPosts:
    """Some posts of one hour that never come to the webhook of ``served``."""

    served: Served
    account: CountedAccount
    host: Host
    # By hour, the posts of earlier runs that a kill kept from being counted.
    _uncounted: dict[datetime, int] = field(default_factory=dict)

    @property
    def whose(self) -> tuple[str, str]:
        """The connector, and the connection."""
        return self.served.vendor.name, self.served.connection

    def begin(self) -> None:
        """Have the app count from some hours ago on, once: it was set up then, for all it knows."""
        known = read_hours(*self.whose)
        self._uncounted = {
            hour: self.account.posted(hour) - known.posted_of(hour_name(hour)) for hour in _hours()
        }
        if known.counted_to is not None:
            return
        with app_clock(datetime.now(UTC) - COUNTED):
            self._tick()

    def lose(self, step: Step) -> int:
        """Let the app not answer for some posts of an hour, until the vendor gives them up."""
        vendor = self.served.vendor
        begun = read_hours(*self.whose).counted_to
        settled = (datetime.now(UTC) - _SETTLED).replace(minute=0, second=0, microsecond=0)
        found = self.account.doomed(begun, settled) if begun else None
        if found is None:
            return 0
        hour, events = found
        say(f"      The app does not answer; {vendor.name} tries, and gives up {_of(events, hour)}")
        faults = self.host.server.faults
        faults.add(f"/{vendor.function}", answer(503), times=FOREVER)
        step(vendor.function, lambda: self._post(events))
        faults.clear()
        self.account.give_up(events)
        return len(events)

    def _post(self, events: Any) -> str:
        self.account.post(self.host.url(self.served.vendor.function), events)
        return ""

    def fetch(self, step: Step, lost: int) -> None:
        """Count the hours, and read those that miss events. Raises NotTold."""
        self.write_counts()
        step(self.served.vendor.counter, self._tick)
        reason, hours = self._told()
        if not hours:
            if lost:
                raise NotTold(f"{many(lost, 'post')} never came, and the app does not say so.")
            return
        say(f"      The status page says: {reason}")
        for hour in hours:
            asked = {"fetch": self.served.vendor.name, "hour": hour, "connection": self.whose[1]}
            done = self._status(requests.post, **asked)
            say(f"      POST /api/Status?fetch=…&hour={hour}: {done['message']}")
        if self._told()[1]:
            raise NotTold("The hours that were fetched still miss events.")

    def write_counts(self) -> None:
        """Have the webhook write its counts now, which it does once a minute. Raises NotTold."""
        (stream,) = self.served.vendor.streams
        until = time.monotonic() + _SECONDS
        while True:
            health_of(stream.stream, self.whose[1]).history.flush()
            known = read_hours(*self.whose)
            if not any(
                known.posted_of(hour_name(hour))
                < self.account.posted(hour) - self._uncounted.get(hour, 0)
                for hour in _hours()
            ):
                return
            if time.monotonic() > until:
                raise NotTold("The webhook did not write down what it counted.")
            time.sleep(0.05)

    def _tick(self) -> str:
        done = self.host.tick(self.served.vendor.counter)
        if done.error is not None:
            raise NotTold(f"{self.served.vendor.counter} failed: {done.error}") from done.error
        return ""

    def _told(self) -> tuple[str, list[str]]:
        """Why the page looks as it does, and the hours that miss events."""
        page = self._status(requests.get, connection=self.served.title)
        for connector in page["connectors"]:
            for stream in connector["streams"]:
                if stream["missing"]:
                    hours = [each["hour"] for each in stream["missing"]]
                    return str(stream["assessment"]["reason"]), hours
        return "", []

    def _status(self, ask: Callable[..., requests.Response], **params: str) -> dict[str, Any]:
        """Ask the function Status as a program does."""
        given = ask(
            self.host.url("Status"), params={"format": "json", **params}, timeout=_SECONDS * 10
        )
        found: dict[str, Any] = given.json()
        if not given.ok:
            raise NotTold(f"The status page answered HTTP {given.status_code}: {found}")
        return found


def _hours() -> list[datetime]:
    """The hours that are counted, the present one first."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return [hour - number * HOUR for number in range(COUNTED // HOUR + 1)]


def _of(events: Any, hour: datetime) -> str:
    return f"{many(len(events), 'event')} of {hour:%H:%M} UTC"
