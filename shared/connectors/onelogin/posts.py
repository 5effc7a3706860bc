"""OneLogin's event webhook (Event Broadcaster).

https://developers.onelogin.com/quickstart/event-webhooks: batches of events of all types, as a JSON
array or as NDJSON ("SIEM"), with a static ``Authorization: Bearer`` header; an answer other than
200 makes OneLogin send a batch again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shared.records.timestamps import parse_time
from shared.source.stream import Stream

_ACCOUNT_DIGITS = 20

EVENTS = Stream(
    name="Custom-OneLogin",
    setting_name="onelogin",
    watermark="event_timestamp",
    event_time="event_timestamp",
    keys=(("uuid",), ("create._id",)),
)


class OneLoginEvents:
    """The shape of OneLogin's events, see ``shared.source.push.EventFormat``."""

    stream = EVENTS
    token_fields: tuple[str, ...] = ("bearer_token", "bearer_token_secondary")
    refusal_advice: str = (
        "see that the sender's Authorization header and {bearer_token} hold the same token"
    )

    def event(self, element: Any) -> dict[str, Any] | None:
        """The event in an element of a body, out of its ``{"event": …}``; None where none is."""
        if not isinstance(element, dict):
            return None
        if len(element) == 1 and isinstance(inner := element.get("event"), dict):
            return inner
        return element

    def event_id(self, event: dict[str, Any]) -> str | None:
        """What repeats of an event share: ``uuid``, else ``create._id``, which is the same."""
        found = event.get("uuid")
        if not found and isinstance(create := event.get("create"), dict):
            found = create.get("_id")
        return found if isinstance(found, str) and found else None

    def account(self, event: dict[str, Any]) -> str:
        """The account's number, which posts and the API's records have alike; '' for none."""
        found = event.get("account_id")
        number = str(found) if isinstance(found, int | str) else ""
        return number if number.isdecimal() and len(number) <= _ACCOUNT_DIGITS else ""

    def event_time(self, event: dict[str, Any]) -> datetime | None:
        """``2017-12-05 19:13:06 UTC``; None where it is absent or unreadable."""
        return parse_time(event.get(EVENTS.event_time))
