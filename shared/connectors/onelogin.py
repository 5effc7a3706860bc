"""OneLogin's event webhook (Event Broadcaster): what its events look like.

https://developers.onelogin.com/quickstart/event-webhooks: batches of events of all types, as a JSON
array or as NDJSON ("SIEM"), with a static ``Authorization: Bearer`` header; anything but 200 makes
OneLogin send a batch again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shared.records.timestamps import parse_time
from shared.settings.app import read_onelogin

CONNECTOR = "OneLogin"
STREAM = "Custom-OneLogin"
TOKEN_SETTING = "OneLoginBearerToken"  # noqa: S105  (a setting's name)


class OneLoginEvents:
    """The webhook's source of events, see ``shared.source.push.EventSource``."""

    name = CONNECTOR
    stream = STREAM
    token_setting = TOKEN_SETTING
    time_field = "event_timestamp"

    def tokens(self) -> tuple[str, ...] | None:
        """The tokens that are valid now; None where the connector is off."""
        settings = read_onelogin()
        return settings.bearer_tokens if settings else None

    def event(self, element: Any) -> dict[str, Any] | None:
        """The event in one element of a body, out of its ``{"event": …}``; None where none is."""
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

    def event_time(self, event: dict[str, Any]) -> datetime | None:
        """``2017-12-05 19:13:06 UTC``; None where it is absent or unreadable."""
        return parse_time(event.get(self.time_field))


SOURCE = OneLoginEvents()
