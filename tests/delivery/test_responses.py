"""The error for each response of Azure Monitor, and the headers it is made from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.delivery.responses import error_for_response
from shared.errors import (
    BatchRefused,
    BatchTooLarge,
    DestinationError,
    DestinationRefused,
    DestinationUnavailable,
)
from shared.http.headers import retry_after_seconds

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, DestinationRefused),
        (400, BatchRefused),
        (401, DestinationRefused),
        (403, DestinationRefused),
        (404, DestinationRefused),
        (408, DestinationUnavailable),
        (413, BatchTooLarge),
        (429, DestinationUnavailable),
        (500, DestinationUnavailable),
        (503, DestinationUnavailable),
    ],
)
def test_every_status_has_its_error(status: int, kind: type[DestinationError]) -> None:
    """Each status maps to the error class that delivery handles."""
    error = error_for_response(status, detail="words", retry_after=None, advice={})
    assert type(error) is kind


def test_a_missing_role_is_explained() -> None:
    """A 403 says what to grant, and that a new role assignment takes up to 30 minutes."""
    error = error_for_response(
        403, detail="denied", retry_after=None, advice={403: "Grant the role."}
    )
    assert "Grant the role." in str(error)
    assert "30 minutes" in str(error)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("Fri, 31 Dec 9999 23:59:59 -1000", None),
        ("0", 0.0),
        ("17", 17.0),
        (" 120 ", 120.0),
        ("Sun, 01 Mar 2026 12:01:30 GMT", 90.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2026 12:01:30 -0000", 90.0),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, seconds: float | None) -> None:
    """Seconds and HTTP dates parse, past dates give 0, and malformed values None."""
    assert retry_after_seconds(header, NOW) == seconds


def test_retry_after_date_is_measured_from_now() -> None:
    """Without a given time, a date is compared with the host's clock."""
    ahead = datetime.now(UTC) + timedelta(seconds=100)
    seconds = retry_after_seconds(ahead.strftime("%a, %d %b %Y %H:%M:%S GMT"))
    assert seconds is not None
    assert 90 < seconds <= 100
