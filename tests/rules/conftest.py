"""What this folder's tests ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rules.sentinel import Clock, Sentinel


@pytest.fixture(scope="session")
def clock() -> Iterator[Clock]:
    """One workspace for all of a process's tests: making one takes longer than a test."""
    opened = Clock()
    yield opened
    opened.workspace.close()


@pytest.fixture
def sentinel(clock: Clock) -> Sentinel:
    """A noon at which rules see nothing of what another test brought."""
    return clock.sentinel()
