"""OneLogin's part in the demo: an account that posts its events to the webhook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from local.vendors.onelogin import OneLogin
from local.vendors.onelogin_records import onelogin_event
from local.vendors.record_store import Record
from local.vendors.traffic import Period, Traffic
from local.vendors.vendor import Vendor, VendorStream

NAME = "OneLogin"
TOKEN = "local-onelogin-token"
EVENTS_A_WEEK = 1500
EVENTS = VendorStream(
    "OneLogin", "Custom-OneLogin", "OneLogin_CL", ("uuid",), ("uuid_g",), "event_timestamp"
)


class OneLoginAccount:
    """An account under way; see ``local.vendors.vendor.PostingAccount``."""

    port = 0

    def __init__(self) -> None:
        self._made = 0
        self._pending: list[Record] = []
        self._posted: dict[str, Record] = {}

    @property
    def settings(self) -> Mapping[str, str]:
        """The token that the broadcaster sends."""
        return {"OneLoginBearerToken": TOKEN}

    def fill(self, period: Period) -> None:
        """Make the period's events, to be posted."""
        traffic = Traffic(NAME, period, self._made)
        self._pending += [onelogin_event(n, at) for n, at in traffic.spread(EVENTS_A_WEEK)]
        self._made = traffic.made

    def pending(self) -> Sequence[Record]:
        """The events not posted yet, oldest first."""
        return list(self._pending)

    def post(self, url: str, events: Sequence[Record]) -> int:
        """Broadcast the events; return how many the webhook did not take after every try."""
        failed = OneLogin(url, TOKEN).broadcast(events)
        lost = {event["uuid"] for event in failed}
        self._posted |= {each["uuid"]: each for each in events if each["uuid"] not in lost}
        self._pending = [each for each in self._pending if each["uuid"] not in self._posted]
        return len(failed)

    def release_late(self) -> int:
        """Events are posted as they happen: none is late."""
        return 0

    def change(self, now: datetime) -> int:  # noqa: ARG002 - part of the Protocol
        """An event never changes."""
        return 0

    def records(self, stream: VendorStream) -> list[Record]:  # noqa: ARG002 - there is one stream
        """The events that the webhook took."""
        return list(self._posted.values())

    def save(self) -> dict[str, Any]:
        """The posted events, and how far the numbers have come."""
        return {"made": self._made, "events": list(self._posted.values())}

    def restore(self, saved: dict[str, Any]) -> None:
        """Restore the state that save() returned."""
        self._made = saved["made"]
        self._posted = {event["uuid"]: event for event in saved["events"]}


@contextmanager
def _serve(port: int) -> Iterator[OneLoginAccount]:  # noqa: ARG001 - nothing listens
    yield OneLoginAccount()


VENDOR = Vendor(
    NAME,
    "OneLoginWebhook",
    "OneLogin | summarize Events = count() by EventType | order by Events",
    (EVENTS,),
    _serve,
)
