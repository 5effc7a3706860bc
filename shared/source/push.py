"""How the events of a vendor look that posts them to a webhook."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from shared.source.stream import Stream


class EventFormat(Protocol):
    """The shape of posted events. ``token_fields`` are the settings whose tokens are valid.

    ``refusal_advice`` is the advice where a post has none of them, a template over the settings'
    fields.
    """

    stream: Stream
    token_fields: tuple[str, ...]
    refusal_advice: str

    def event(self, element: Any) -> dict[str, Any] | None:
        """The event in an element of a body; None where there is none."""
        ...

    def event_id(self, event: dict[str, Any]) -> str | None:
        """The id that repeats of an event share; None where it has none."""
        ...

    def account(self, event: dict[str, Any]) -> str:
        """Whose event it is, by which events are counted; '' where it does not say."""
        ...

    def event_time(self, event: dict[str, Any]) -> datetime | None:
        """When it happened, in UTC; None where that is absent or unreadable."""
        ...
