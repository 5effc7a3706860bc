"""The webhook with its token, its storage and its way in."""

from __future__ import annotations

import pytest

from local.azure.logs_ingestion import AzureMonitor
from tests.webhook.posts import TOKEN


@pytest.fixture
def onelogin(
    azure_monitor: AzureMonitor, storage: str, monkeypatch: pytest.MonkeyPatch
) -> AzureMonitor:
    """Azure Monitor, with the webhook set up to send there."""
    monkeypatch.setenv("OneLoginBearerToken", TOKEN)
    return azure_monitor
