"""A destination's section of a connection test: storage, sign-in, each rule in use, a sample.

The sample is a row of ConnectorHealth_CL with the connector ``Test`` and the status ``off``, which
every shipped analytics rule filters out; no other table receives test data. For the other streams
an empty array shows that the rule and the stream exist and that the identity has its role.
"""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from shared.connections.opening import open_connection, takes_posts, valid_tokens
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
from shared.state.rows import checkpoint_rows
from shared.telemetry.run import RunResult, RunState

SAMPLE = "A sample that the connection test sent; it means that nothing is wrong"
_UPLOAD_SECONDS = 10.0


def by_destination(names: Sequence[str]) -> list[list[str]]:
    """The names by where their records go; those of wrong settings stand alone."""
    found: list[tuple[DestinationSettings | None, list[str]]] = []
    for name in dict.fromkeys(names):
        try:
            settings = read_destination(name)
        except SettingsError:
            settings = None
        same = next((each for known, each in found if settings and known == settings), None)
        if same is None:
            found.append((settings, [name]))
        else:
            same.append(name)
    return [each for _, each in found]


def storage_steps(section: TestSection) -> None:
    """Test the app's own storage."""
    section.step("storage: tables", lambda: _readable(lambda: checkpoint_rows("Test")))
    section.step("storage: queues", lambda: _readable(backlog.spool_queue))
    section.step("storage: blobs", lambda: _readable(backlog.dead_letters))


def destination_steps(names: Sequence[str], section: TestSection) -> None:
    """Test the way to the tables that the connections ``names`` share."""
    name = names[0]
    read: list[DestinationSettings] = []

    def settings() -> str:
        read.append(read_destination(name))
        return "All set, and well-formed"

    if not section.step("settings", settings):
        return
    chosen = read[0]
    address = chosen.endpoint or chosen.data_collector_uri
    setting = "LogsIngestionEndpoint" if chosen.endpoint else "WorkspaceID or logAnalyticsUri"
    if not section.reach(address, setting):
        return
    if chosen.endpoint and not section.step("sign-in", lambda: _sign_in(address)):
        return
    sink = sink_for(chosen)
    for stream in _streams_in_use(names):
        section.step(f"rule for {stream}", _check_rule(sink, stream))
    if RULE in chosen.rule_ids:
        section.step("sample", lambda: _send_sample(sink))
    else:
        section.skip("sample", f"{RULE} is not set, and no other table gets made-up rows")


def _readable(read: Callable[[], object]) -> str:
    read()
    return "May be read"


def _sign_in(endpoint: str) -> str:
    from shared.delivery.logs_ingestion import SignIn, scope

    SignIn().get_token_info(scope(endpoint))
    return "The app's identity has a token for Azure Monitor"


def _streams_in_use(names: Sequence[str]) -> list[str]:
    """The streams of the connections ``names``; skip a misconfigured one, whose section says so."""
    found: list[str] = []
    for connector, name in itertools.product(polled(), names):
        with contextlib.suppress(SettingsError):
            connection = open_connection(connector, name)
            found += [source.stream.name for source in connection.sources] if connection else []
    for connector, name in itertools.product(received(), names):
        with contextlib.suppress(SettingsError):
            if takes_posts(connector, name) and valid_tokens(connector, name) is not None:
                found += [stream.name for stream in connector.streams]
    return list(dict.fromkeys(found))


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
