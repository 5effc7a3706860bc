"""A vendor that posts its events."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol


class EventSource(Protocol):
    """A vendor that posts events: its settings and the shape of its events."""

    name: str
    stream: str
    token_setting: str
    time_field: str

    def tokens(self) -> tuple[str, ...] | None:
        """The valid tokens; None where the connector is off. Raises ``SettingsError``."""
        ...

    def event(self, element: Any) -> dict[str, Any] | None:
        """The event in an element of a body; None where there is none."""
        ...

    def event_id(self, event: dict[str, Any]) -> str | None:
        """What repeats of an event share."""
        ...

    def event_time(self, event: dict[str, Any]) -> datetime | None:
        """When it happened, in UTC."""
        ...
