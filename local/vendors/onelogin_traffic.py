"""OneLogin's part in the demo: an account that posts its events, and lists them by its API too."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from local.vendors.onelogin import OneLogin
from local.vendors.onelogin_api import OneLoginApi
from local.vendors.onelogin_records import listed_event, onelogin_event
from local.vendors.record_store import Record
from local.vendors.traffic import Period, Traffic
from local.vendors.vendor import Vendor, VendorStream

NAME = "OneLogin"
TOKEN = "local-onelogin-token"
EVENTS_A_WEEK = 1500
# A posted event is known by its uuid; one that came by the API alone, by its number.
EVENTS = VendorStream(
    "OneLogin",
    "Custom-OneLogin",
    "OneLogin_CL",
    ("uuid", "id"),
    ("uuid_g", "id_d"),
    "event_timestamp",
)
# Of an hour's events, every so many never come.
GIVEN_UP = 3


class OneLoginAccount:
    """An account under way; see ``local.vendors.vendor.CountedAccount``.

    Every event is in the list of ``api`` from when it happens, whether its post comes or not.
    """

    def __init__(self, api: OneLoginApi | None = None) -> None:
        self.api = api or OneLoginApi()
        self._made = 0
        self._pending: dict[str, tuple[int, Record]] = {}
        self._posted: dict[str, Record] = {}
        self._given_up: list[Record] = []

    @property
    def port(self) -> int:
        """The API's port."""
        return self.api.server.port

    @property
    def settings(self) -> Mapping[str, str]:
        """The token that the broadcaster sends, and the API to count by."""
        given = self.api.settings
        api = {name: given[name] for name in given if name != "OneLoginSource"}
        return {"OneLoginBearerToken": TOKEN, **api}

    def fill(self, period: Period) -> None:
        """Make the period's events: listed now, and to be posted."""
        traffic = Traffic(NAME, period, self._made)
        moments = traffic.spread(EVENTS_A_WEEK)
        self.api.add(listed_event(n, at) for n, at in moments)
        for n, at in moments:
            event = onelogin_event(n, at)
            self._pending[event["uuid"]] = (n, event)
        self._made = traffic.made

    def pending(self) -> Sequence[Record]:
        """The events not posted yet, oldest first."""
        return [event for _, event in self._pending.values()]

    def post(self, url: str, events: Sequence[Record]) -> int:
        """Broadcast the events; return how many the webhook did not take after every try."""
        failed = OneLogin(url, TOKEN).broadcast(events)
        lost = {event["uuid"] for event in failed}
        taken = {each["uuid"]: each for each in events if each["uuid"] not in lost}
        self._posted |= taken
        for uuid in taken:
            self._pending.pop(uuid, None)
        return len(failed)

    def posted(self, hour: datetime) -> int:
        """How many events of the hour the webhook took."""
        return Counter(map(_hour, self._posted.values()))[hour]

    def doomed(self, since: datetime, until: datetime) -> tuple[datetime, Sequence[Record]] | None:
        """Every third pending event of the fullest hour between the two; None where all are empty.

        Both are whole hours.
        """
        by_hour: dict[datetime, list[Record]] = defaultdict(list)
        for event in self.pending():
            if since <= (hour := _hour(event)) < until:
                by_hour[hour].append(event)
        if not by_hour:
            return None
        hour, events = max(by_hour.items(), key=lambda item: len(item[1]))
        return hour, events[::GIVEN_UP]

    def give_up(self, events: Iterable[Record]) -> None:
        """Try no more to post the events: the API's list alone has them from now on."""
        for event in events:
            n, _ = self._pending.pop(event["uuid"])
            known = {name: event[name] for name in ("event_timestamp", "account_id")}
            self._given_up.append({"id": listed_event(n, _hour(event))["id"], **known})

    def release_late(self) -> int:
        """Events are posted as they happen: none is late."""
        return 0

    def change(self, now: datetime) -> int:  # noqa: ARG002 - part of the Protocol
        """An event never changes."""
        return 0

    def records(self, stream: VendorStream) -> list[Record]:  # noqa: ARG002 - there is one stream
        """The events that the webhook took, and those that the vendor gave up to post."""
        return [*self._posted.values(), *self._given_up]

    def save(self) -> dict[str, Any]:
        """Every event by what became of it, and how far the numbers have come."""
        return {
            "made": self._made,
            "events": list(self._posted.values()),
            "pending": list(self._pending.values()),
            "given_up": self._given_up,
            "listed": self.api.events.records(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Restore the state that save() returned."""
        self._made = saved["made"]
        self._posted = {event["uuid"]: event for event in saved["events"]}
        self._pending = {event["uuid"]: (n, event) for n, event in saved.get("pending", [])}
        self._given_up = saved.get("given_up", [])
        self.api.add(saved.get("listed", []))


def _hour(event: Record) -> datetime:
    moment = datetime.fromisoformat(event["event_timestamp"].replace(" UTC", "+00:00"))
    return moment.replace(minute=0, second=0)


@contextmanager
def _serve(port: int) -> Iterator[OneLoginAccount]:
    with OneLoginApi(port=port) as api:
        yield OneLoginAccount(api)


VENDOR = Vendor(
    NAME,
    "OneLoginWebhook",
    "OneLogin | summarize Events = count() by EventType | order by Events",
    (EVENTS,),
    _serve,
    counter="OneLoginTimer",
)
