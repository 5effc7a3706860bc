"""What this folder's tests ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from local.workspace.workspace import Workspace
from tests.content.analysed import queries
from tests.content.golden import NOW
from tools.kql_check import Analysis, analyse


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """An empty workspace whose clock stands at ``NOW``."""
    opened = Workspace(None, now=lambda: NOW)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def analyses() -> Mapping[str, Analysis]:
    """What Microsoft's parser says of every query in ``analysed``, by its name."""
    return {analysis.name: analysis for analysis in analyse(queries())}
