"""Generated files are written, and held against what their sources make."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import generated_files
from tools.generated_files import between, write_or_check


def test_a_file_that_differs_is_named_with_the_command_that_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A check changes nothing; after the command it is satisfied."""
    monkeypatch.setattr(generated_files, "ROOT", tmp_path)
    page = tmp_path / "docs" / "page.md"

    def run(*arguments: str) -> int:
        return write_or_check("pages", None, lambda: {page: "made\n"}, arguments)

    assert run("--check") == 1
    assert not page.exists()
    assert "docs/page.md" in (told := capsys.readouterr().err)
    assert "python -m tools pages" in told
    assert run() == run("--check") == 0


def test_a_page_keeps_what_is_around_its_part(tmp_path: Path) -> None:
    """A page without the two lines is no page to write into."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\nold\n<!-- b -->\nafter\n", encoding="utf-8")
    assert between(page, "<!-- a -->", "<!-- b -->", "new") == (
        "before\n<!-- a -->\nnew\n<!-- b -->\nafter\n"
    )
    with pytest.raises(ValueError, match="lacks the lines"):
        between(page, "<!-- c -->", "<!-- b -->", "new")
