"""The repository's name: one command writes it wherever it stands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools import project, repository

NEW = "acme/security-logs"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The files of this project that are not generated and may name the repository."""
    (tmp_path / "tools").mkdir()
    shutil.copy(project.ROOT / "tools" / "project.py", tmp_path / "tools")
    shutil.copytree(project.ROOT / "docs", tmp_path / "docs")
    for page in project.ROOT.glob("*.md"):
        shutil.copy(page, tmp_path)
    return tmp_path


def named(root: Path, name: str) -> set[str]:
    """The files that name the repository, plain or in an encoded address."""
    spellings = (name, name.replace("/", "%2F"))
    files = [path for path in root.rglob("*") if path.suffix in {".md", ".py"}]
    return {
        str(path.relative_to(root))
        for path in files
        if any(spelling in path.read_text(encoding="utf-8") for spelling in spellings)
    }


def test_every_place_is_rewritten(tree: Path) -> None:
    """Buttons, commands and the constant from which the template is made have the new name."""
    before = named(tree, project.REPOSITORY)
    assert {"README.md", "docs/deploy.md", "tools/project.py"} <= before
    changed = repository.rename(tree, project.REPOSITORY, NEW)
    assert {str(path.relative_to(tree)) for path in changed} == before
    assert named(tree, project.REPOSITORY) == set()
    assert named(tree, NEW) == before


def test_the_new_name_can_be_renamed_back(tree: Path) -> None:
    """A second run finds what the first one wrote."""
    pages = {path: path.read_bytes() for path in tree.rglob("*.md")}
    repository.rename(tree, project.REPOSITORY, NEW)
    repository.rename(tree, NEW, project.REPOSITORY)
    assert {path: path.read_bytes() for path in tree.rglob("*.md")} == pages


@pytest.mark.parametrize(
    "name", ["acme", "acme/", "/logs", "https://github.com/acme/logs", "a b/c"]
)
def test_what_is_no_repository_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written for a name that GitHub would not take."""
    with pytest.raises(SystemExit):
        repository.main([name])
    assert "OWNER/NAME" in capsys.readouterr().err
