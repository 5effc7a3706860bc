"""Parse the time formats of vendors, and format times for Azure Monitor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

# From here on an epoch counts milliseconds: as seconds it would be the year 5138.
_MILLISECONDS_FROM = 100_000_000_000
_MAX_DIGITS = 20


def utc_now() -> datetime:
    """Return the host's time, aware."""
    return datetime.now(UTC)


def parse_time(value: object) -> datetime | None:
    """Parse a vendor's time into UTC; None if ``value`` is not a time.

    Accept ISO-8601 with a fraction of any length and ``Z``, ``+0000``, ``+00:00`` or no zone (read
    as UTC), ``2017-12-05 19:13:06 UTC``, and epoch seconds or milliseconds.
    """
    try:
        if isinstance(value, str):
            # datetime reads thirteen digits as ISO-8601: a day in 1712 instead of 2024.
            if len(value) > 8 and value.isdigit():
                return _parse_digits(value)
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                return _parse_odd_time(value.strip())
            if moment.tzinfo is UTC:
                return moment
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _from_epoch(value)
    except OverflowError:
        return None  # in UTC, before the year 1 or after 9999
    return None


def _parse_odd_time(text: str) -> datetime | None:
    for zone in (" UTC", " GMT"):
        if text.endswith(zone):
            return parse_time(text.removesuffix(zone) + "Z")
    if text.isdigit():
        return _parse_digits(text)
    # datetime has no leap second: parse the second before it, and add one.
    if len(text) >= 19 and text[16:19] == ":60":
        before = parse_time(f"{text[:16]}:59{text[19:]}")
        return before + timedelta(seconds=1) if before else None
    return None


def _parse_digits(text: str) -> datetime | None:
    return _from_epoch(int(text)) if text.isascii() and len(text) <= _MAX_DIGITS else None


def _from_epoch(number: float) -> datetime | None:
    seconds = number / 1000 if abs(number) >= _MILLISECONDS_FROM else number
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OSError):
        return None


def isoformat(moment: datetime) -> str:
    """Format as ``2026-01-02T03:04:05.000006Z``: UTC, always with microseconds."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
