"""What runs on the project's behalf in GitHub Actions, and with which rights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import project

FILES = sorted((project.ROOT / ".github" / "workflows").glob("*.yml"))


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_actions_are_pinned_by_hash_and_say_their_version(path: Path) -> None:
    """A moved tag changes nothing here."""
    uses = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))
    assert uses
    for line in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_job_may_do_only_what_it_needs(path: Path) -> None:
    """Nothing is granted by default, and only publishing may write."""
    workflow = load(path)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert job["permissions"] == {"contents": "write" if name == "publish" else "read"}
        assert job["timeout-minutes"] <= 60


def test_what_may_write_runs_no_code_of_the_project() -> None:
    """The publishing job has no checkout: it takes what the other job built."""
    steps = load(FILES[-1])["jobs"]["publish"]["steps"]
    assert not [step for step in steps if "checkout" in step.get("uses", "")]


def test_every_supported_python_is_tested() -> None:
    """CI runs on what pyproject.toml promises."""
    matrix = load(FILES[0])["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert matrix == ["3.11", "3.12", "3.13"]
