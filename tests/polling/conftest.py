"""Fixtures of the timers' tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda streams: monkeypatch.setenv("SentinelOneStreams", streams)
