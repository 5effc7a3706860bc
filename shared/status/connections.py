"""The status of each connection, from its stored rows and its lease."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from shared.connections.names import set_up
from shared.connections.opening import open_connection, takes_posts, valid_tokens
from shared.connections.registry import polled, received
from shared.delivery.backlog import Queue
from shared.errors import ADVICE, SettingsError
from shared.records.timestamps import isoformat
from shared.settings.app import PollingSettings, read_polling
from shared.source.connector import Connection, Connector
from shared.state.addresses import LeftBehind, left_behind
from shared.state.checkpoint import partition_key
from shared.state.keys import connection_key
from shared.state.lease import LastPoll
from shared.state.posted_hours import ROW, HourCounts, told
from shared.state.rows import Row
from shared.state.webhook_history import webhook_partition
from shared.status.assess import polled_stream, webhook_stream
from shared.status.collector import Collector
from shared.status.model import (
    LEFT_OUT,
    Assessment,
    ConnectorStatus,
    MissingHour,
    StreamStatus,
)
from shared.status.token_ends import NOT_ASKED, UNTOLD, Asked, with_token_ends
from shared.telemetry.humanize import many
from shared.telemetry.run import SEVERITY, RunState, worst

_STUCK_AFTER = 2
_NO_STORAGE = Assessment(RunState.FAILING, "Unknown, since the storage account does not answer.")


@dataclass(frozen=True, slots=True)
class Stored:
    """What storage has: rows by PartitionKey (None: unknown), leases by key, the spool."""

    rows: Mapping[str, Mapping[str, Row]] | None
    polls: Mapping[str, LastPoll]
    paused: Mapping[str, datetime]
    spool: Queue


def connection_statuses(
    stored: Stored,
    collector: Collector,
    now: datetime,
    chosen: str = "",
    *,
    ask_vendors: bool = True,
) -> list[ConnectorStatus]:
    """Every connection that ``chosen`` names, the worst first; a connector that is off, last.

    With ``ask_vendors`` they are asked when the tokens end, which takes some seconds at most.
    """
    found: list[Asked] = []
    for connector in polled():
        found += _of_connector(connector, stored, collector, now)
    for connector in received():
        names = [name for name in _names(connector) if takes_posts(connector, name)]
        found += [Asked(_received(connector, name, stored, now)) for name in names]
    wanted = [each for each in found if _is_chosen(each.status, chosen)]
    statuses = with_token_ends(wanted) if ask_vendors else [each.status for each in wanted]
    return sorted(statuses, key=lambda s: (not s.on, SEVERITY.index(s.assessment.state), s.title))


def _is_chosen(status: ConnectorStatus, chosen: str) -> bool:
    return chosen.lower() in f"{status.title} {status.address}".lower()


def _of_connector(
    connector: Connector, stored: Stored, collector: Collector, now: datetime
) -> list[Asked]:
    found = [_polled(connector, name, stored, collector, now) for name in _names(connector)]
    if connector.events and not any(each.status.on for each in found):
        return []  # it is polled beside its webhook where it has settings for that
    return found


def _polled(
    connector: Connector, name: str, stored: Stored, collector: Collector, now: datetime
) -> Asked:
    try:
        connection = open_connection(connector, name)
    except SettingsError as error:
        return Asked(_misconfigured(connector.name, name, error))
    if connection is None or not connection.sources:
        return Asked(
            ConnectorStatus(
                connector.name, False, Assessment(RunState.OFF, "None of its settings are set.")
            )
        )
    partition = partition_key(connector.name, connection.address, name)
    rows = None if stored.rows is None else stored.rows.get(partition, {})
    others = left_behind(stored.rows or {}, partition)
    streams = _streams(connector, connection, rows, now)
    key = connection_key(connector.name, name)
    poll = stored.polls.get(key, LastPoll())
    due = poll.due if poll.due and poll.due > now else None
    paused = stored.paused.get(key)
    if paused:
        streams = [_paused(stream, paused) for stream in streams]
    summary = _summary(streams)
    status = ConnectorStatus(
        name=connector.name,
        on=True,
        assessment=summary if paused else _with_last_poll(summary, poll, due),
        address=urlsplit(connection.address).netloc,
        token_note=NOT_ASKED if connection.token_expires else UNTOLD,
        address_note=_address_note(connection, bool(rows), others, collector, now),
        connection=name,
        due=due,
        streams=streams,
        polled=True,
        paused=paused,
    )
    return Asked(status, connection.token_expires)


def _paused(stream: StreamStatus, since: datetime) -> StreamStatus:
    """A stream of a connection that a person has paused: late, so that it is not forgotten."""
    if stream.assessment.state == RunState.OFF:
        return stream
    told = Assessment(
        RunState.LATE,
        f"Paused by a person since {isoformat(since)}: it is not polled.",
        "Resume it below, or by python3 -m tools resume; it goes on where it had come.",
    )
    return replace(stream, assessment=told)


def _with_last_poll(summary: Assessment, poll: LastPoll, due: datetime | None) -> Assessment:
    """What the lease knows beside the rows: polls that were killed, a vendor that is silent."""
    if poll.unended >= _STUCK_AFTER:
        return Assessment(
            RunState.FAILING,
            f"{many(poll.unended, 'poll')} began and never ended: killed, or out of memory.",
            "See Application Insights for the host's own words; give the instance more memory.",
        )
    if due and poll.silent:
        return Assessment(
            RunState.FAILING,
            f"The vendor did not answer at all, {many(poll.silent, 'poll')} in a row; it is asked "
            f"again at {isoformat(due)}.",
            ADVICE["VendorUnavailable"],
        )
    return summary


def _address_note(
    connection: Connection,
    begun: bool,
    others: Sequence[LeftBehind],
    collector: Collector,
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
        return [StreamStatus(source.stream.name, _NO_STORAGE) for source in connection.sources]
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


def _names(connector: Connector) -> Sequence[str]:
    """The connector's connections, and the suffixes that are no names; '' where it is off."""
    try:
        found = set_up(connector)
    except SettingsError:
        return [""]  # its own entry says why
    return [*found.names, *sorted(found.problems)] or [""]


def _received(connector: Connector, name: str, stored: Stored, now: datetime) -> ConnectorStatus:
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
    # The app's own section reports the storage account's fault.
    stream, note = StreamStatus(declared.name, _NO_STORAGE), ""
    if stored.rows is not None:
        rows = stored.rows.get(webhook_partition(connector.name, name), {})
        stream = webhook_stream(declared.name, rows.get(declared.name), stored.spool.messages, now)
        counts = HourCounts.parse(rows.get(ROW, {}))
        stream = _with_missing(connector, stream, counts)
        if counts.waits_until and counts.waits_until > now:
            note = (
                "the API's limit of calls is used up: posts are counted again from "
                f"{counts.waits_until:%H:%M} UTC on"
            )
    return ConnectorStatus(
        connector.name,
        True,
        _summary([stream]),
        address_note=note,
        connection=name,
        streams=[stream],
    )


def _with_missing(connector: Connector, stream: StreamStatus, counts: HourCounts) -> StreamStatus:
    """Say which hours' posts brought fewer events than the vendor lists."""
    missing = [MissingHour(hour, *both) for hour, both in sorted(counts.missing.items())]
    stream = replace(stream, missing=missing)
    if not missing or stream.assessment.state == RunState.FAILING:
        return stream
    late = Assessment(
        RunState.LATE,
        f"{told(connector.name, counts.missing)}.",
        "A post may never have come: the app was stopped, or the vendor gave up. Read such an hour "
        "into the table by its button, which stands with the stream; for a program, POST to this "
        f"page with fetch={connector.name.lower()}&hour={missing[0].hour}.",
    )
    return replace(stream, assessment=late)


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
