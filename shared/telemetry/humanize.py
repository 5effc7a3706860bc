"""Format numbers and times for people."""

from __future__ import annotations

from datetime import datetime, timedelta

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def span(seconds: float) -> str:
    """``3 hours``, ``1 minute``, ``2 days 4 hours``: the largest one or two units."""
    left = max(int(seconds), 0)
    parts: list[str] = []
    for size, name in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
        if parts and (count == 0 or len(parts) == 2 or size == 60):
            break
    return " ".join(parts) or "0 seconds"


def many(count: int, one: str, several: str = "") -> str:
    """``1 record``, ``2,000 records``."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def ago(passed: timedelta) -> str:
    """``3 hours ago``; ``just now`` within a minute."""
    seconds = passed.total_seconds()
    return "just now" if seconds < 60 else f"{span(seconds)} ago"


def size(count: float) -> str:
    """Bytes in the largest decimal unit that fits: ``12.3 MB``."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def clock(moment: datetime) -> str:
    """``2026-01-02 03:04 UTC``."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
