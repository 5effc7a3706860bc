"""A vendor's section of a connection test: settings, name, TLS, sign-in, each endpoint in use."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol, runtime_checkable

from shared.connections.opening import open_connection, takes_posts, valid_tokens
from shared.diagnostics.section import TestSection
from shared.diagnostics.steps import StepSkipped
from shared.errors import SettingsError, StorageError, VendorRefused
from shared.records.timestamps import parse_time, utc_now
from shared.source.connector import Connection, Connector
from shared.source.stream import Source, Window
from shared.state.rows import checkpoint_rows
from shared.state.webhook_history import webhook_partition
from shared.telemetry.history import read_history
from shared.telemetry.humanize import ago

_STREAM_SECONDS = 10.0
_LOOK_BACK = timedelta(minutes=1)


@runtime_checkable
class Probed(Protocol):
    """A source that can be tested by less than a page of records."""

    def probe(self) -> None:
        """Send one request that shows whether the source may be read; raises as ``pages``."""
        ...


def polled_steps(connector: Connector, name: str, section: TestSection) -> None:
    """Test a connector that polls."""
    connections: list[Connection] = []

    def settings() -> str:
        connection = open_connection(connector, name)
        if connection is None:
            raise StepSkipped("The connector is off: none of its settings are set")
        connections.append(connection)
        return "All set, and well-formed"

    section.step("settings", settings)
    if not connections:
        return
    connection = connections[0]
    if not section.reach(connection.address, "the address in the settings"):
        return
    if not section.step("sign-in", lambda: _sign_in(connection)):
        section.skip("streams", "Without a sign-in none can be read")
        return
    counted = [connection.counted] if connection.counted else []
    for source in [*connection.sources, *counted]:
        section.step(source.stream.setting_name, _check_stream(connection, source))


def _sign_in(connection: Connection) -> str:
    """Get a token, or read the first stream: a refusal but 401 shows that the token is known."""
    if connection.client.has_sign_in:
        connection.client.begin(time.monotonic() + _STREAM_SECONDS)
        connection.client.sign_in()
        return "The vendor gives a token"
    try:
        _read_a_minute(connection, connection.sources[0])
    except VendorRefused as error:
        if error.status == 401:
            raise
    return "The vendor takes the token"


def _check_stream(connection: Connection, source: Source) -> Callable[[], str]:
    def check() -> str:
        try:
            return _read_a_minute(connection, source)
        except VendorRefused as error:
            if source.stream.optional and error.status in (403, 404):
                raise StepSkipped(f"Optional, and off: {error}") from error
            raise

    return check


def _read_a_minute(connection: Connection, source: Source) -> str:
    """Request the last minute of a stream, as a run would."""
    connection.client.begin(time.monotonic() + _STREAM_SECONDS)
    if isinstance(source, Probed):
        source.probe()
        return "May be read"
    now = utc_now()
    window = None if source.stream.snapshot else Window(now - _LOOK_BACK, now)
    with contextlib.closing(source.pages(window)) as pages:  # type: ignore[type-var]
        first = next(pages, None)
    count = len(first.records) if first else 0
    return f"May be read ({count} records {'now' if window is None else 'in the last minute'})"


def received_steps(connector: Connector, name: str, section: TestSection) -> None:
    """Test a webhook from inside: its settings and its last events; post nothing to it."""
    tokens: list[str] = []

    def settings() -> str:
        if not takes_posts(connector, name):
            raise StepSkipped("Posts are not taken: the vendor's API is the way in")
        valid = valid_tokens(connector, name)
        if valid is None:
            raise StepSkipped("The connector is off: none of its settings are set")
        tokens.extend(valid)
        return "All set, and well-formed"

    section.step("settings", settings)
    if tokens:
        section.step("events", lambda: _last_event(connector, name))


def _last_event(connector: Connector, name: str) -> str:
    try:
        rows = checkpoint_rows(webhook_partition(connector.name, name))
        row = rows.get(connector.streams[0].name, {})
    except (StorageError, SettingsError) as error:
        raise StepSkipped(f"Whether events arrive is not known: {error}") from error
    last = parse_time(read_history(str(row.get("history") or "")).get("lastSuccess"))
    if last is None:
        raise StepSkipped(
            "No event has arrived yet. Send one from the vendor's console to this app's webhook"
        )
    return f"The last events arrived {ago(utc_now() - last)}"
