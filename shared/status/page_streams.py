"""A connector on the page: its facts, and its streams in a table with a plot of the last day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from shared.status.html import badge, text, told, when
from shared.status.model import LEFT_OUT, ConnectorStatus, Hour, StreamStatus
from shared.telemetry.humanize import clock, size, span
from shared.telemetry.run import RunState

_WIDTH, _STEP, _BAR = 240, 10, 7
_RECORDS_HEIGHT, _BYTES_HEIGHT, _MIDDLE = 26, 12, 28
_HEADINGS = (
    "Stream",
    "State",
    "Delivered to",
    "Last good run",
    "Repeats held back",
    "Last 24 hours: records above, bytes below",
)


def connector_section(connector: ConnectorStatus, now: datetime) -> str:
    """One card."""
    name = text(connector.name)
    title = (
        f'<div class="title"><h2 id="c-{name}">{name}</h2>{badge(connector.assessment.state)}</div>'
    )
    why = "" if connector.streams else told(connector.assessment)
    table = _table(connector, now) if connector.streams else ""
    return (
        f'<section class="card" aria-labelledby="c-{name}">{title}'
        f"{_facts(connector, now)}{why}{table}</section>"
    )


def _facts(connector: ConnectorStatus, now: datetime) -> str:
    facts = [connector.address] if connector.address else []
    if connector.token_expires:
        left = (connector.token_expires - now).total_seconds()
        how = f"in {span(left)}" if left > 0 else "it has expired"
        facts.append(f"token expires {clock(connector.token_expires)} ({how})")
    elif connector.token_note:
        facts.append(f"token's expiry {connector.token_note}")
    return f'<p class="facts">{text(" · ".join(facts))}</p>' if facts else ""


def _table(connector: ConnectorStatus, now: datetime) -> str:
    heads = "".join(f'<th scope="col" role="columnheader">{text(name)}</th>' for name in _HEADINGS)
    shown = [stream for stream in connector.streams if stream.assessment is not LEFT_OUT]
    rows = "".join(_row(connector.name, stream, now) for stream in shown)
    left_out = ", ".join(
        short(connector.name, stream.name)
        for stream in connector.streams
        if stream.assessment is LEFT_OUT
    )
    after = f'<p class="small">Left out by the settings: {text(left_out)}.</p>' if left_out else ""
    return (
        '<table class="streams fixed" role="table">'
        f'<caption class="unseen">Streams of {text(connector.name)}</caption>'
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>'
        f'<tbody role="rowgroup">{rows}</tbody></table>{after}'
    )


def short(connector: str, stream: str) -> str:
    """``Activities`` for Custom-SentinelOneActivities, under its connector's heading."""
    name = stream.removeprefix("Custom-")
    return name.removeprefix(connector) or name


def _row(connector: str, stream: StreamStatus, now: datetime) -> str:
    explained = stream.assessment.state != RunState.OK
    name = text(short(connector, stream.name))
    cells = [
        f'<th scope="row" role="rowheader">{name}</th>',
        f'<td role="cell">{badge(stream.assessment.state)}</td>',
        _cell("Delivered to", _delivered(stream, now)),
        _cell("Last good run", when(stream.last_success, now)),
        _cell("Repeats held back", f"{sum(h.repeats for h in stream.hours):,}"),
        f'<td role="cell" class="plot"><div>{plot(stream.hours)}</div></td>',
    ]
    row = f'<tr role="row"{" class=told" if explained else ""}>{"".join(cells)}</tr>'
    if not explained:
        return row
    return (
        f'{row}<tr role="row" class="why"><td role="cell" colspan="{len(_HEADINGS)}">'
        f"{_why(stream)}{_last_error(stream, now)}</td></tr>"
    )


def _why(stream: StreamStatus) -> str:
    """What to do about trouble stands at the page's top, once for all that share its cause."""
    if stream.assessment.state in (RunState.FAILING, RunState.LATE):
        return f"<p>{text(stream.assessment.reason)}</p>"
    return told(stream.assessment)


def _cell(label: str, content: str) -> str:
    return f'<td role="cell" data-label="{text(label)}">{content}</td>'


def _delivered(stream: StreamStatus, now: datetime) -> str:
    if stream.delivered_to is None:
        return "-" if stream.assessment.state == RunState.OFF else "nothing yet"
    return when(stream.delivered_to, now)


def _last_error(stream: StreamStatus, now: datetime) -> str:
    error = stream.last_error
    if error is None or stream.assessment.state == RunState.OFF:
        return ""
    said = "" if error.message == stream.assessment.reason else f": {text(error.message)}"
    return (
        f'<p class="small">Last error {when(error.at, now, "some time ago")}, '
        f"<code>{text(error.error)}</code>{said}</p>"
    )


def plot(hours: Sequence[Hour]) -> str:
    """Records an hour upwards, bytes downwards, and the day's sums in words below."""
    records, sent = sum(h.records for h in hours), sum(h.bytes for h in hours)
    if not records and not sent:
        return '<p class="small">no records</p>'
    most, largest = max(h.records for h in hours) or 1, max(h.bytes for h in hours) or 1
    bars = "".join(_bars(number, hour, most, largest) for number, hour in enumerate(hours))
    busiest = max(hours, key=lambda hour: hour.records)
    words = f"{records:,} records, {size(sent)} sent"
    beside = f"{records:,}<br>{size(sent)}"
    label = (
        f"The last 24 hours: {words}; the most in an hour {busiest.records:,}, "
        f"from {busiest.start:%H:%M} UTC"
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_MIDDLE + _BYTES_HEIGHT + 2}" role="img" '
        f'aria-label="{text(label)}" preserveAspectRatio="none">{bars}'
        f'<path class="axis" d="M0 {_MIDDLE}.5H{_WIDTH}"/></svg>'
        f'<p class="small" aria-hidden="true">{beside}</p>'
    )


def _bars(number: int, hour: Hour, most: int, largest: int) -> str:
    if not hour.records and not hour.bytes:
        return ""
    left = number * _STEP + 1
    # What is there at all can be seen.
    up = max(round(_RECORDS_HEIGHT * hour.records / most), 1)
    down = max(round(_BYTES_HEIGHT * hour.bytes / largest), 1)
    words = f"{hour.start:%H:%M} UTC: {hour.records:,} records, {size(hour.bytes)}"
    return (
        f"<g><title>{text(words)}</title>"
        f'<rect class="records" x="{left}" y="{_MIDDLE - up}" width="{_BAR}" height="{up}"/>'
        f'<rect class="bytes" x="{left}" y="{_MIDDLE + 1}" width="{_BAR}" height="{down}"/></g>'
    )
