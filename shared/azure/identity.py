"""The app's identity in Entra: one credential a process, made when first needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.runtime.process import process_singleton

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential


@process_singleton
def credential() -> TokenCredential:
    """The managed identity in Azure (``AZURE_CLIENT_ID`` chooses it), a developer's own elsewhere.

    https://learn.microsoft.com/python/api/overview/azure/identity-readme
    """
    from azure.identity import DefaultAzureCredential

    # An identity endpoint that hangs must not hold up a run or a webhook for the SDK's 300 s.
    return DefaultAzureCredential(
        exclude_interactive_browser_credential=True,
        connection_timeout=5,
        read_timeout=10,
        retry_total=2,
    )


def forget_credential() -> None:
    """After a 401: the next ``credential()`` signs in anew, past every cached token."""
    credential.cache_clear()
