"""A connector declares itself: settings, streams, advice, texts; and how a connection is made.

All that names a vendor elsewhere (the README's table, the template, the portal's form, the status
page, the connection test) is derived from the ``CONNECTOR`` of its file in shared/connectors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.settings.setting import Setting, declared
from shared.source.advice import Advice
from shared.source.client import ApiClient
from shared.source.push import EventFormat
from shared.source.stream import Source, Stream


@dataclass(frozen=True, slots=True)
class Connection:
    """A vendor as one set of settings names it: where it is read, as whom, and which streams.

    ``inventory_minutes`` is how often inventory streams are due. ``token_expires`` asks the vendor
    when its token ends, where the vendor tells: None for unknown. ``name`` is the connection's, ''
    for the one without. ``counted`` lists the events that the vendor posts, to count them.
    """

    address: str
    client: ApiClient
    sources: Sequence[Source]
    inventory_minutes: float = 60.0
    token_expires: Callable[[], datetime | None] | None = None
    name: str = ""
    counted: Source | None = None


@dataclass(frozen=True, slots=True)
class Portal:
    """The texts of a connector's step in the portal's form: its checkbox, and its tooltip."""

    label: str
    tooltip: str


@dataclass(frozen=True, slots=True)
class Connector:
    """A vendor. ``settings`` is a dataclass whose fields ``shared.settings.setting`` makes.

    ``connect`` makes a connection of such settings, for a vendor that is polled, None where these
    settings poll nothing; ``events`` tells how posted events look, for one that posts. Of a vendor
    that can do both, ``way_in`` is the field of the setting that says ``webhook`` or ``api``.
    ``advice`` says what to look at, by HTTP status (None for any other), as templates over the
    settings' fields: ``{access_token} is wrong``. ``streams_field`` is the field of the setting
    that chooses streams, where there is one.
    """

    name: str
    settings: type[Any]
    streams: Sequence[Stream]
    portal: Portal
    advice: Mapping[int | None, str]
    connect: Callable[[Any, Advice], Connection | None] | None = None
    events: EventFormat | None = None
    streams_field: str = ""
    way_in: str = ""

    def declared(self) -> Mapping[str, Setting]:
        """Its settings, by field."""
        return declared(self.settings)

    @property
    def streams_setting(self) -> str:
        """The name of the setting that chooses streams; '' where all are polled."""
        return self.declared()[self.streams_field].name if self.streams_field else ""
