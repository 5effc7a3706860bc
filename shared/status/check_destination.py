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

from shared.delivery.batches import Batch
from shared.delivery.destination import Destination, destination
from shared.errors import BatchRefused, SettingsError
from shared.health import RULE, STREAM, Extras, row
from shared.polling.runner import Connector
from shared.records import declared_fields, encode, utc_now
from shared.runs import OFF, StreamRun
from shared.settings import DestinationSettings, read_destination
from shared.status import stores
from shared.status.connectors import polled, received
from shared.status.parts import Part, Skip

SAMPLE = "A sample that the connection test sent; it means that nothing is wrong"
_UPLOAD_SECONDS = 10.0


def destination_part(part: Part) -> None:
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
    target = destination(chosen)
    for stream in _streams_in_use():
        part.step(f"rule for {stream}", _asking(target, stream))
    if RULE in chosen.rule_ids:
        part.step("sample", lambda: _sample(target))
    else:
        part.skip("sample", f"{RULE} is not set, and no other table gets made-up rows")


def _storage(part: Part) -> None:
    part.step("storage: tables", lambda: _readable(lambda: stores.checkpoint_rows("Test")))
    part.step("storage: queues", lambda: _readable(stores.spool_queue))
    part.step("storage: blobs", lambda: _readable(stores.dead_letters))


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


def _asking(target: Destination, stream: str) -> Callable[[], str]:
    def ask() -> str:
        try:
            target.upload(Batch(stream, ()), _UPLOAD_SECONDS)
        except BatchRefused:
            # Whether an empty array is welcome is nowhere said; that it was read is enough.
            return "The rule has the stream, and the app may send to it"
        return "The rule has the stream, and the app may send to it"

    return ask


def _sample(target: Destination) -> str:
    if target.declared(STREAM) is None:
        raise Skip("The Data Collector API has no table for it")
    now = utc_now()
    record = encode(sample(now), time_generated=now, declared=declared_fields(STREAM))
    target.upload(Batch(STREAM, [record]), _UPLOAD_SECONDS)
    return "Accepted: ConnectorHealth_CL shows it with the connector Test within minutes"


def sample(now: datetime) -> dict[str, Any]:
    """The marked row that a test sends."""
    run = StreamRun("Test", "connection test", uuid.uuid4().hex, now, status=OFF, note=SAMPLE)
    return row(run, Extras())
