"""Fixtures of the tests of connections."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.connections.consoles import Consoles, running


@pytest.fixture
def consoles(settings_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Consoles]:
    """The app with its console without a name, of which only activities are polled."""
    monkeypatch.setenv("SentinelOneStreams", "activities")
    yield from running(monkeypatch)
