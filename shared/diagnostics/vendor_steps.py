"""The vendor's part of a connection test: settings, name, TLS, sign-in, each endpoint in use."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol, runtime_checkable

from shared.diagnostics.section import StepSkipped, TestSection
from shared.errors import SettingsError, StorageError, VendorRefused
from shared.records.timestamps import parse_time, utc_now
from shared.source.connector import Connection, Connector
from shared.source.push import EventSource
from shared.source.stream import Source, Window
from shared.state.rows import checkpoint_rows
from shared.state.webhook_history import webhook_partition
from shared.telemetry.history import read_history
from shared.telemetry.humanize import ago

_STREAM_SECONDS = 10.0
_LOOK_BACK = timedelta(minutes=1)


@runtime_checkable
class Probed(Protocol):
    """A source for which a whole page is too much to ask for a test."""

    def probe(self) -> None:
        """One request, which shows whether the source may be read."""
        ...


def polled_part(connector: Connector, part: TestSection) -> None:
    """Everything about one connector that polls."""
    connections: list[Connection] = []

    def settings() -> str:
        connection = connector.connect()
        if connection is None:
            raise StepSkipped("The connector is off: none of its settings are set")
        connections.append(connection)
        return "All set, and well-formed"

    part.step("settings", settings)
    if not connections:
        return
    connection = connections[0]
    if not part.reach(connection.address, "the address in the settings"):
        return
    if not part.step("sign-in", lambda: _sign_in(connection)):
        part.skip("streams", "Without a sign-in none can be read")
        return
    for source in connection.sources:
        part.step(source.stream.setting_name, _reading(connection, source))


def _sign_in(connection: Connection) -> str:
    """The first stream shows it: whoever is refused with anything but 401 is known by name."""
    try:
        _look(connection, connection.sources[0])
    except VendorRefused as error:
        if error.status == 401:
            raise
    return "The vendor takes the token"


def _reading(connection: Connection, source: Source) -> Callable[[], str]:
    def read() -> str:
        try:
            return _look(connection, source)
        except VendorRefused as error:
            if source.stream.optional and error.status in (403, 404):
                raise StepSkipped(f"Optional, and off: {error}") from error
            raise

    return read


def _look(connection: Connection, source: Source) -> str:
    """Ask for the last minute, as a run would."""
    connection.session.begin(time.monotonic() + _STREAM_SECONDS)
    if isinstance(source, Probed):
        source.probe()
        return "May be read"
    now = utc_now()
    window = None if source.stream.snapshot else Window(now - _LOOK_BACK, now)
    with contextlib.closing(source.pages(window)) as pages:  # type: ignore[type-var]
        first = next(pages, None)
    count = len(first.records) if first else 0
    return f"May be read ({count} records {'now' if window is None else 'in the last minute'})"


def received_part(source: EventSource, part: TestSection) -> None:
    """Everything that can be known about a webhook from inside: nobody else's post is forged."""

    def settings() -> str:
        if source.tokens() is None:
            raise StepSkipped("The connector is off: none of its settings are set")
        return "All set, and well-formed"

    if part.step("settings", settings) and part.steps[-1].detail.startswith("All"):
        part.step("events", lambda: _last_event(source))


def _last_event(source: EventSource) -> str:
    try:
        row = checkpoint_rows(webhook_partition(source.name)).get(source.stream, {})
    except (StorageError, SettingsError) as error:
        raise StepSkipped(f"Whether events arrive is not known: {error}") from error
    last = parse_time(read_history(str(row.get("history") or "")).get("lastSuccess"))
    if last is None:
        raise StepSkipped(
            "No event has arrived yet. Send one from the vendor's console to this app's webhook"
        )
    return f"The last events arrived {ago(utc_now() - last)}"
