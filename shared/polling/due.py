"""When a stream is due, and whether it is to be left alone for want of a licence."""

from __future__ import annotations

from datetime import timedelta

from shared.errors import ConnectorError, VendorRefused
from shared.source.stream import Stream
from shared.state.progress import Progress
from shared.telemetry.history import age, ever_succeeded

_RETRY_DISABLED_AFTER = timedelta(hours=1)
# Timers tick a little early or late: a stream due on this tick must not wait for the next.
_TICK_SLACK = timedelta(seconds=30)


def is_due(stream: Stream, past: Progress, inventory_minutes: float) -> bool:
    """Whether to poll now: hourly where disabled, an inventory at its interval, others always."""
    idle = age(past.last_polled_at)
    if past.disabled_since and idle < _RETRY_DISABLED_AFTER - _TICK_SLACK:
        return False
    interval = timedelta(minutes=inventory_minutes)
    return not (stream.inventory and not past.unfinished and idle < interval - _TICK_SLACK)


def may_be_disabled(stream: Stream, past: Progress, error: ConnectorError) -> bool:
    """Whether to disable a stream: an optional one that never worked, refused by 403 or 404."""
    # What is open, or known by id, was read by a run that failed behind it.
    came_to = past.watermark or past.known_id or past.unfinished
    never_worked = not came_to and not ever_succeeded(past.history)
    refused = isinstance(error, VendorRefused) and error.status in (403, 404)
    return stream.optional and never_worked and refused
