"""Parse the HTTP response headers ``Date`` and ``Retry-After``, and those of rate limits."""

from __future__ import annotations

from collections.abc import Mapping
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


def wait_seconds(headers: Mapping[str, str]) -> float | None:
    """For how long the sender of a 429 or 503 asks to wait, in seconds; None where it is silent.

    ``Retry-After``, else ``X-RateLimit-Reset`` where no call remains: seconds until the limit's
    next interval, as some vendors send it. ``headers`` are compared without case.
    """
    wait = retry_after_seconds(headers.get("Retry-After"))
    if wait is not None or headers.get("X-RateLimit-Remaining", "0").strip() != "0":
        return wait
    reset = headers.get("X-RateLimit-Reset", "").strip()
    # A larger number is no count of seconds, but a time since 1970.
    return float(reset) if reset.isascii() and reset.isdigit() and len(reset) < 6 else None
