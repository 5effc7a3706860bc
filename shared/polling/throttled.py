"""Wait for a vendor's limit of calls to renew: no failure, unless it lasts without a record.

A vendor that answers 429 beyond a run's time has said when to ask again: what was read is
delivered, the rest waits, and the vendor is left alone until then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeGuard

from shared.errors import ConnectorError, VendorUnavailable
from shared.records.timestamps import isoformat
from shared.state.progress import Progress

# So long without a record is an alert. No wait is longer: a header may name any number.
MOST_WAIT = timedelta(hours=2)
_TOO_MANY_REQUESTS = 429


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait that began ``since`` and ends ``until``, both aware UTC."""

    vendor: str
    since: datetime
    until: datetime

    @property
    def note(self) -> str:
        """The wait in words, for the health row and the page."""
        return (
            f"{self.vendor}'s limit of calls is used up (HTTP 429): the rest waits until "
            f"{self.until:%H:%M} UTC, and {self.vendor} is not asked before"
        )

    def error(self, now: datetime) -> VendorUnavailable | None:
        """The error of a wait that lasts too long; None for any other."""
        if now - self.since <= MOST_WAIT:
            return None
        return VendorUnavailable(
            f"{self.vendor}'s limit of calls has let nothing new through since "
            f"{isoformat(self.since)} (HTTP 429). Nothing is lost; {self.vendor} is asked again at "
            f"{self.until:%H:%M} UTC. See which programs use the account's calls",
            status=_TOO_MANY_REQUESTS,
        )

    def noted(self, progress: Progress) -> Progress:
        """``progress`` of a stream that waits so."""
        return replace(progress, throttled_since=self.since, throttled_until=self.until)


def is_throttled(error: ConnectorError | None) -> TypeGuard[VendorUnavailable]:
    """Whether the vendor refused a request for its limit of calls."""
    return isinstance(error, VendorUnavailable) and error.status == _TOO_MANY_REQUESTS


def wait_after(
    error: VendorUnavailable, vendor: str, since: datetime | None, now: datetime
) -> Wait:
    """The wait that ``error`` begins, or prolongs where one has lasted ``since``."""
    seconds = min(error.retry_after or 0.0, MOST_WAIT.total_seconds())
    return Wait(vendor, since or now, now + timedelta(seconds=seconds))


def open_wait(vendor: str, progress: Progress, now: datetime) -> Wait | None:
    """The wait that a stream is in; None where the vendor may be asked."""
    since, until = progress.throttled_since, progress.throttled_until
    if since is None or until is None or until <= now:
        return None
    # A host's wrong clock, or an edited row, must not silence a stream for longer.
    return Wait(vendor, since, until) if until - now <= MOST_WAIT else None


def without_wait(progress: Progress) -> Progress:
    """``progress`` of a stream that was let through."""
    return replace(progress, throttled_since=None, throttled_until=None)
