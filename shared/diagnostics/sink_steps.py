"""The destination's section of a connection test: storage, sign-in, each rule in use, a sample.

The sample is a row of ConnectorHealth_CL with the connector ``Test`` and the status ``off``, which
every shipped analytics rule filters out; no other table receives test data. For the other streams
an empty array shows that the rule and the stream exist and that the identity has its role.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from shared.connections.opening import open_connection, valid_tokens
from shared.connections.registry import polled, received
from shared.delivery import backlog
from shared.delivery.batch import Batch
from shared.delivery.sink import Sink, sink_for
from shared.diagnostics.section import TestSection
from shared.diagnostics.steps import StepSkipped
from shared.errors import BatchRefused, SettingsError
from shared.health.rows import RULE, STREAM, Extras, row
from shared.records.declared import declared_fields
from shared.records.encoder import encode
from shared.records.timestamps import utc_now
from shared.settings.app import DestinationSettings, read_destination
from shared.source.connector import Connector
from shared.state.rows import checkpoint_rows
from shared.telemetry.run import RunResult, RunState

SAMPLE = "A sample that the connection test sent; it means that nothing is wrong"
_UPLOAD_SECONDS = 10.0


def destination_steps(section: TestSection) -> None:
    """Test the way to the tables, and the app's own storage."""
    _storage(section)
    read: list[DestinationSettings] = []

    def settings() -> str:
        read.append(read_destination())
        return "All set, and well-formed"

    if not section.step("settings", settings):
        return
    chosen = read[0]
    address = chosen.endpoint or chosen.data_collector_uri
    name = "LogsIngestionEndpoint" if chosen.endpoint else "WorkspaceID or logAnalyticsUri"
    if not section.reach(address, name):
        return
    if chosen.endpoint and not section.step("sign-in", lambda: _sign_in(address)):
        return
    sink = sink_for(chosen)
    for stream in _streams_in_use():
        section.step(f"rule for {stream}", _check_rule(sink, stream))
    if RULE in chosen.rule_ids:
        section.step("sample", lambda: _send_sample(sink))
    else:
        section.skip("sample", f"{RULE} is not set, and no other table gets made-up rows")


def _storage(section: TestSection) -> None:
    section.step("storage: tables", lambda: _readable(lambda: checkpoint_rows("Test")))
    section.step("storage: queues", lambda: _readable(backlog.spool_queue))
    section.step("storage: blobs", lambda: _readable(backlog.dead_letters))


def _readable(read: Callable[[], object]) -> str:
    read()
    return "May be read"


def _sign_in(endpoint: str) -> str:
    from shared.delivery.logs_ingestion import SignIn, scope

    SignIn().get_token_info(scope(endpoint))
    return "The app's identity has a token for Azure Monitor"


def _streams_in_use() -> list[str]:
    """Return the streams of every connector that is on; skip a misconfigured one, which its own
    section reports.
    """
    names: list[str] = []
    for connector in polled():
        names += _streams(connector)
    for connector in received():
        try:
            if valid_tokens(connector) is not None:
                names += [stream.name for stream in connector.streams]
        except SettingsError:
            continue
    return names


def _streams(connector: Connector) -> list[str]:
    try:
        connection = open_connection(connector)
    except SettingsError:
        return []
    return [source.stream.name for source in connection.sources] if connection else []


def _check_rule(sink: Sink, stream: str) -> Callable[[], str]:
    def check() -> str:
        # Undocumented whether [] is accepted; a 400 too proves rule, stream and role.
        with contextlib.suppress(BatchRefused):
            sink.upload(Batch(stream, ()), _UPLOAD_SECONDS)
        return "The rule has the stream, and the app may send to it"

    return check


def _send_sample(sink: Sink) -> str:
    if sink.declared(STREAM) is None:
        raise StepSkipped("The Data Collector API has no table for it")
    now = utc_now()
    record = encode(sample(now), time_generated=now, declared=declared_fields(STREAM))
    sink.upload(Batch(STREAM, [record]), _UPLOAD_SECONDS)
    return "Accepted: ConnectorHealth_CL shows it with the connector Test within minutes"


def sample(now: datetime) -> dict[str, Any]:
    """Return the marked row that a test sends."""
    run = RunResult(
        "Test", "connection test", uuid.uuid4().hex, now, status=RunState.OFF, note=SAMPLE
    )
    return row(run, Extras())
