"""The destination's part of a connection test: sign-in, every rule in use, a sample, storage.

The sample is a row of ConnectorHealth_CL with the connector ``Test`` and the status ``off``, which
every shipped rule leaves out; no other table ever gets made-up data. Where there is no rule for
that table, an empty array shows that rule, stream and role are there.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from shared.connectors.registry import polled, received
from shared.delivery import backlog
from shared.delivery.batch import Batch
from shared.delivery.sink import Sink, sink_for
from shared.diagnostics.section import StepSkipped, TestSection
from shared.errors import BatchRefused, SettingsError
from shared.health.rows import RULE, STREAM, Extras, row
from shared.records.declared import declared_fields
from shared.records.encoder import encode
from shared.records.timestamps import utc_now
from shared.settings.app import DestinationSettings, read_destination
from shared.source.connector import Connector
from shared.state.rows import checkpoint_rows
from shared.telemetry.run import RunState, StreamRun

SAMPLE = "A sample that the connection test sent; it means that nothing is wrong"
_UPLOAD_SECONDS = 10.0


def destination_part(part: TestSection) -> None:
    """Everything between this app and its tables, and the app's own storage."""
    _storage(part)
    found: list[DestinationSettings] = []

    def settings() -> str:
        found.append(read_destination())
        return "All set, and well-formed"

    if not part.step("settings", settings):
        return
    chosen = found[0]
    address = chosen.endpoint or chosen.data_collector_uri
    name = "LogsIngestionEndpoint" if chosen.endpoint else "WorkspaceID or logAnalyticsUri"
    if not part.reach(address, name):
        return
    if chosen.endpoint and not part.step("sign-in", lambda: _sign_in(address)):
        return
    target = sink_for(chosen)
    for stream in _streams_in_use():
        part.step(f"rule for {stream}", _asking(target, stream))
    if RULE in chosen.rule_ids:
        part.step("sample", lambda: _sample(target))
    else:
        part.skip("sample", f"{RULE} is not set, and no other table gets made-up rows")


def _storage(part: TestSection) -> None:
    part.step("storage: tables", lambda: _readable(lambda: checkpoint_rows("Test")))
    part.step("storage: queues", lambda: _readable(backlog.spool_queue))
    part.step("storage: blobs", lambda: _readable(backlog.dead_letters))


def _readable(read: Callable[[], object]) -> str:
    read()
    return "May be read"


def _sign_in(endpoint: str) -> str:
    from shared.delivery.logs_ingestion import SignIn, scope

    SignIn().get_token_info(scope(endpoint))
    return "The app's identity has a token for Azure Monitor"


def _streams_in_use() -> list[str]:
    """The streams of every connector that is on; one that is misconfigured says so in its part."""
    names: list[str] = []
    for connector in polled():
        names += _streams(connector)
    for source in received():
        try:
            if source.tokens() is not None:
                names.append(source.stream)
        except SettingsError:
            continue
    return names


def _streams(connector: Connector) -> list[str]:
    try:
        connection = connector.connect()
    except SettingsError:
        return []
    return [source.stream.name for source in connection.sources] if connection else []


def _asking(target: Sink, stream: str) -> Callable[[], str]:
    def ask() -> str:
        try:
            target.upload(Batch(stream, ()), _UPLOAD_SECONDS)
        except BatchRefused:
            # Whether an empty array is welcome is nowhere said; that it was read is enough.
            return "The rule has the stream, and the app may send to it"
        return "The rule has the stream, and the app may send to it"

    return ask


def _sample(target: Sink) -> str:
    if target.declared(STREAM) is None:
        raise StepSkipped("The Data Collector API has no table for it")
    now = utc_now()
    record = encode(sample(now), time_generated=now, declared=declared_fields(STREAM))
    target.upload(Batch(STREAM, [record]), _UPLOAD_SECONDS)
    return "Accepted: ConnectorHealth_CL shows it with the connector Test within minutes"


def sample(now: datetime) -> dict[str, Any]:
    """The marked row that a test sends."""
    run = StreamRun(
        "Test", "connection test", uuid.uuid4().hex, now, status=RunState.OFF, note=SAMPLE
    )
    return row(run, Extras())
