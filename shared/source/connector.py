"""A connector: a vendor, and a connection to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.settings.app import PollingSettings
from shared.source.client import ApiClient
from shared.source.stream import Source


@dataclass(frozen=True, slots=True)
class Connection:
    """A connector with its settings applied: where it reads, as whom, and which streams.

    ``token_expires`` asks the vendor when its token ends, where the vendor tells: None for unknown.
    ``left_out`` are the names of streams that the settings chose not to poll.
    """

    address: str
    session: ApiClient
    sources: Sequence[Source]
    polling: PollingSettings
    inventory_minutes: float = 60.0
    token_expires: Callable[[], datetime | None] | None = None
    left_out: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Connector:
    """A vendor that is polled. ``connect`` reads its settings; None means that it is off."""

    name: str
    connect: Callable[[], Connection | None]
