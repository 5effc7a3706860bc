"""What this folder's tests ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rules.sentinel import Sentinel


@pytest.fixture
def sentinel() -> Iterator[Sentinel]:
    """An empty workspace at noon, on which rules run."""
    opened = Sentinel()
    yield opened
    opened.close()
