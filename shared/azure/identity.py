"""The app's identity in Entra: one credential a process, made on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.runtime.process import process_singleton

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential


@process_singleton
def credential() -> TokenCredential:
    """Return the managed identity (``AZURE_CLIENT_ID`` selects it), or a developer's own sign-in.

    https://learn.microsoft.com/python/api/overview/azure/identity-readme
    """
    from azure.identity import DefaultAzureCredential

    # Do not wait the SDK's 300 s for an identity endpoint that hangs: a webhook has 20 s.
    return DefaultAzureCredential(
        exclude_interactive_browser_credential=True,
        connection_timeout=5,
        read_timeout=10,
        retry_total=2,
    )


def forget_credential() -> None:
    """Drop the credential after a 401: the next ``credential()`` has no cached token."""
    credential.cache_clear()
