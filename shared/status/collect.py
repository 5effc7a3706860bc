"""Collect status from every store in parallel.

A store that fails yields a problem and a default.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar
from urllib.parse import urlsplit

from shared import VERSION
from shared.connections.names import set_up
from shared.connections.opening import open_connection, valid_tokens
from shared.connections.registry import polled, received
from shared.delivery import backlog
from shared.delivery.backlog import DeadLetterStatus, Queue
from shared.errors import ADVICE, ConnectorError, SettingsError, StorageError
from shared.records.timestamps import isoformat, utc_now
from shared.runtime.timeout import call_with_timeout
from shared.settings import key_vault
from shared.settings.app import (
    DestinationSettings,
    PollingSettings,
    read_destination,
    read_polling,
)
from shared.source.connector import Connection, Connector
from shared.state.addresses import LeftBehind
from shared.state.checkpoint import partition_key
from shared.state.keys import connection_key
from shared.state.lease import Leases, read_leases
from shared.state.rows import Row, checkpoint_rows, other_addresses
from shared.state.webhook_history import webhook_partition
from shared.status.assess import polled_stream, webhook_stream
from shared.status.model import (
    LEFT_OUT,
    AppStatus,
    Assessment,
    ConnectorStatus,
    StreamStatus,
)
from shared.telemetry.humanize import many, span
from shared.telemetry.run import SEVERITY, RunState, worst

# Timeout of one read.
SECONDS = 15.0
_EXPIRES_SOON_DAYS = 14
# Of 150 connections, so many are read at a time.
_THREADS = 32
Result = TypeVar("Result")


class _Collector:
    """Run reads with a timeout; collect the failures as problems, one for each cause."""

    def __init__(self) -> None:
        self.problems: dict[str, Assessment] = {}
        self._lock = threading.Lock()

    def get(self, read: Callable[[], Result], default: Result) -> Result:
        """Return ``read()``, or ``default`` after adding the failure to ``problems``."""
        try:
            return call_with_timeout(SECONDS, read)
        except (ConnectorError, TimeoutError) as error:
            kind = "StorageUnavailable" if isinstance(error, TimeoutError) else type(error).__name__
            text = str(error) or f"Storage or the Key Vault did not answer within {SECONDS:.0f} s"
            # Report a cause once, however many reads it fails; of settings, once for each name.
            cause = text.split(maxsplit=1)[0] if isinstance(error, SettingsError) else kind
            with self._lock:
                self.problems.setdefault(
                    cause, Assessment(RunState.FAILING, text, ADVICE.get(kind, ""))
                )
            return default


def collect_status(now: datetime | None = None) -> AppStatus:
    """Collect the app's status as of ``now``; takes about ``SECONDS`` at most, whatever is down."""
    moment = now or utc_now()
    collector = _Collector()
    timers = [(c, name) for c in polled() for name in _connections(c)]
    webhooks = [(c, name) for c in received() for name in _connections(c)]
    with ThreadPoolExecutor(min(7 + len(timers) + len(webhooks), _THREADS)) as pool:
        spool_read = pool.submit(collector.get, backlog.spool_queue, Queue(None))
        poison_read = pool.submit(collector.get, backlog.poison_queue, Queue(None))
        dead_read = pool.submit(collector.get, backlog.dead_letters, DeadLetterStatus(None))
        settings_read = pool.submit(collector.get, read_destination, None)
        polling_read = pool.submit(collector.get, read_polling, None)
        none = Leases(moment, {}, frozenset())
        leases_read = pool.submit(collector.get, read_leases, none)
        found = [
            pool.submit(_polled, connector, name, collector, moment) for connector, name in timers
        ]
        spool = spool_read.result()
        found += [pool.submit(_received, source, n, spool, moment) for source, n in webhooks]
        leases = leases_read.result()
        connectors = [_with_due(future.result(), leases) for future in found]
        polling_read.result()
        poison, dead = poison_read.result(), dead_read.result()
        destination, address = _destination(settings_read.result())
    own_problems = [
        *collector.problems.values(),
        *_vault_problems(),
        *_backlog_problems(dead, poison),
    ]
    problems = sorted(
        [*own_problems, *_token_problems(connectors, moment)],
        key=lambda assessment: SEVERITY.index(assessment.state),
    )
    states = [c.assessment.state for c in connectors if c.on] + [p.state for p in problems]
    return AppStatus(
        state=worst(states) if any(c.on for c in connectors) or problems else RunState.OFF,
        at=moment,
        version=VERSION,
        destination=destination,
        destination_address=address,
        problems=problems,
        connectors=connectors,
        spool=spool,
        poison=poison,
        dead_letters=dead,
    )


def _connections(connector: Connector) -> Sequence[str]:
    """The connector's connections, and the suffixes that are no names; '' where it is off."""
    try:
        found = set_up(connector)
    except SettingsError:
        return [""]  # its own card says why
    return [*found.names, *sorted(found.problems)] or [""]


def _with_due(status: ConnectorStatus, leases: Leases) -> ConnectorStatus:
    """Add when a connection is polled next that is put off."""
    last = leases.polls.get(connection_key(status.name, status.connection))
    if last is None or last.due is None or last.due < leases.now:
        return status
    return replace(status, due=last.due)


def _destination(settings: DestinationSettings | None) -> tuple[str, str]:
    """Return the name of the sink and its host."""
    if settings is None:
        return "not set up", ""
    name = "Logs Ingestion API" if settings.endpoint else "Data Collector API"
    return name, urlsplit(settings.endpoint or settings.data_collector_uri).netloc


def _vault_problems() -> list[Assessment]:
    """Return a problem where secrets could not be read: one cause has one sentence."""
    doubts = key_vault.doubts()
    if not doubts:
        return []
    more = f" (and {len(doubts) - 1} more)" if len(doubts) > 1 else ""
    return [
        Assessment(
            RunState.LATE,
            f"{doubts[0]}{more}",
            "What is known stays in use for a day. Do as the message says before it ends.",
        )
    ]


def _backlog_problems(dead: DeadLetterStatus, poison: Queue) -> list[Assessment]:
    """Return a problem for dead letters and one for poison messages, where there are any."""
    found: list[Assessment] = []
    if dead.records:
        found.append(
            Assessment(
                RunState.LATE,
                f"{'At least ' if dead.more else ''}{many(dead.records, 'record')} "
                "could not be delivered, set aside as dead letters.",
                "Look at their causes below, mend what they name, and send them again.",
            )
        )
    if poison.messages:
        found.append(
            Assessment(
                RunState.LATE,
                f"{many(poison.messages, 'message')} of the spool, given up after five "
                "tries, set aside in the poison queue.",
                "Once the storage account and the app are well, send them again below.",
            )
        )
    return found


def _token_problems(connectors: list[ConnectorStatus], now: datetime) -> list[Assessment]:
    found: list[Assessment] = []
    for connector in connectors:
        if connector.token_expires is None:
            continue
        left = (connector.token_expires - now).total_seconds()
        if left < _EXPIRES_SOON_DAYS * 86_400:
            when = f"expires in {span(left)}" if left > 0 else "has expired"
            found.append(
                Assessment(
                    RunState.LATE if left > 0 else RunState.FAILING,
                    f"The token of {connector.title} {when}.",
                    "Make a new one with the vendor and store it where the old one is; the "
                    "connector reads it by itself.",
                )
            )
    return found


def _polled(
    connector: Connector, name: str, collector: _Collector, now: datetime
) -> ConnectorStatus:
    try:
        connection = open_connection(connector, name)
    except SettingsError as error:
        return _misconfigured(connector.name, name, error)
    if connection is None:
        return ConnectorStatus(
            connector.name, False, Assessment(RunState.OFF, "None of its settings are set.")
        )
    partition = partition_key(connector.name, connection.address, name)
    rows = collector.get(lambda: checkpoint_rows(partition), None)
    none: Sequence[LeftBehind] = ()
    others = collector.get(lambda: other_addresses(partition), none)
    # A page of many connections asks no vendor: their health rows tell when their tokens end.
    expires = None if name else connection.token_expires
    token = expires() if expires else None
    note = ""
    if token is None and not name:
        note = (
            "unknown: the token may not ask for it, as service users' often may not"
            if expires
            else "unknown: the vendor does not tell"
        )
    streams = _streams(connector, connection, rows, now)
    return ConnectorStatus(
        name=connector.name,
        on=True,
        assessment=_summary(streams),
        address=urlsplit(connection.address).netloc,
        token_expires=token,
        token_note=note,
        address_note=_address_note(connection, bool(rows), others, collector, now),
        streams=streams,
        connection=name,
    )


def _address_note(
    connection: Connection,
    begun: bool,
    others: Sequence[LeftBehind],
    collector: _Collector,
    now: datetime,
) -> str:
    """Say where a changed address begins, and which checkpoints it left behind; '' for none."""
    if not others:
        return ""
    hours = collector.get(read_polling, PollingSettings(24, 10)).initial_lookback_hours
    first = now - timedelta(hours=hours)
    where = "before its first run" if begun else f"before its first run, now {isoformat(first)}"
    behind = ", ".join(
        f"{other.address} ("
        + (f"delivered to {isoformat(other.delivered_to)}" if other.delivered_to else "no event")
        + ")"
        for other in others
    )
    return (
        f"{urlsplit(connection.address).netloc} has checkpoints of its own and began {hours:g} h "
        f"{where}; left behind: {behind}"
    )


def _streams(
    connector: Connector, connection: Connection, rows: Mapping[str, Row] | None, now: datetime
) -> list[StreamStatus]:
    if rows is None:
        unknown = Assessment(
            RunState.FAILING, "Unknown, since the storage account does not answer."
        )
        return [StreamStatus(source.stream.name, unknown) for source in connection.sources]
    streams = [
        polled_stream(
            source.stream,
            rows.get(source.stream.name),
            connection.inventory_minutes,
            connector.streams_setting,
            now,
        )
        for source in connection.sources
    ]
    chosen = {source.stream.name for source in connection.sources}
    left_out = [stream.name for stream in connector.streams if stream.name not in chosen]
    return streams + [StreamStatus(name, LEFT_OUT) for name in left_out]


def _received(connector: Connector, name: str, spool: Queue, now: datetime) -> ConnectorStatus:
    (declared,) = connector.streams
    try:
        problems = set_up(connector).problems
        if name in problems:
            raise SettingsError([problems[name]])
        if valid_tokens(connector, name) is None:
            return ConnectorStatus(
                connector.name, False, Assessment(RunState.OFF, "None of its settings are set.")
            )
    except SettingsError as error:
        return _misconfigured(connector.name, name, error)
    try:
        rows = call_with_timeout(
            SECONDS, lambda: checkpoint_rows(webhook_partition(connector.name, name))
        )
        stream = webhook_stream(declared.name, rows.get(declared.name), spool.messages, now)
    except (StorageError, SettingsError, TimeoutError):
        # The app's own section reports the storage account's fault.
        unknown = Assessment(
            RunState.FAILING, "Unknown, since the storage account does not answer."
        )
        stream = StreamStatus(declared.name, unknown)
    return ConnectorStatus(
        connector.name, True, _summary([stream]), streams=[stream], connection=name
    )


def _misconfigured(connector: str, name: str, error: SettingsError) -> ConnectorStatus:
    return ConnectorStatus(
        connector,
        True,
        Assessment(RunState.FAILING, str(error), ADVICE["SettingsError"]),
        connection=name,
    )


def _summary(streams: list[StreamStatus]) -> Assessment:
    """Summarize a connector: its state is that of its worst stream."""
    on = [stream for stream in streams if stream.assessment.state != RunState.OFF]
    state = worst(stream.assessment.state for stream in on)
    if not on:
        return Assessment(RunState.OFF, "All of its streams are off.")
    if state == RunState.OK:
        return Assessment(
            RunState.OK, "All streams deliver." if len(on) > 1 else on[0].assessment.reason
        )
    bad = [stream for stream in on if stream.assessment.state == state]
    if len(on) == 1:
        return bad[0].assessment
    return Assessment(state, f"{len(bad)} of {len(on)} streams: {state}.")
