"""Map an HTTP response of Azure Monitor to an error of this project."""

from __future__ import annotations

from shared.errors import (
    BatchRefused,
    BatchTooLarge,
    DestinationError,
    DestinationRefused,
    DestinationUnavailable,
)
from shared.http.headers import retry_after_seconds

_WAIT = "It may take up to 30 minutes until a new role assignment is known everywhere."
# Quote at most a line of Azure's own text in a message.
_DETAIL_CHARACTERS = 300


def error_for_response(
    status: int, *, detail: str, retry_after: str | None, advice: dict[int, str]
) -> DestinationError:
    """Return the error for a response other than success.

    ``detail`` is Azure's own text, ``retry_after`` the header's value, ``advice`` the setting or
    role to check, by status (401, 403, 404).
    """
    if status == 400:
        return BatchRefused(detail)
    if status == 413:
        return BatchTooLarge("Azure Monitor says that the call is too large (HTTP 413)")
    if status in (408, 429) or status >= 500:
        return DestinationUnavailable(
            f"Azure Monitor answered HTTP {status}",
            status=status,
            retry_after=retry_after_seconds(retry_after),
        )
    text = " ".join(detail.split())[:_DETAIL_CHARACTERS]
    message = f"Azure Monitor refused the upload with HTTP {status}. {advice.get(status, '')}"
    if status == 403:
        message += f" {_WAIT}"
    return DestinationRefused(f"{message} Its answer: {text or 'empty'}", status=status)
