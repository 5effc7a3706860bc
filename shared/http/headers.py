"""Parse the HTTP response headers ``Date`` and ``Retry-After``."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def http_date(value: str | None) -> datetime | None:
    """Return the time of a ``Date`` header in UTC; None if it is absent or malformed."""
    try:
        moment = parsedate_to_datetime(value or "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def retry_after_seconds(value: str | None, now: datetime | None = None) -> float | None:
    """Return a ``Retry-After`` header in seconds, at least 0; None if it is absent or malformed.

    Both forms of RFC 9110, section 10.2.3: a number of seconds, or an HTTP date.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    moment = http_date(text)
    if moment is None:
        return None
    return max((moment - (now or datetime.now(UTC))).total_seconds(), 0.0)
