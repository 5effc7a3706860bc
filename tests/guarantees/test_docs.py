"""docs/guarantees.md says which test shows each promise: those tests exist."""

from __future__ import annotations

import re

from tools.project import ROOT


def test_every_promise_names_a_test_that_exists() -> None:
    """A promise whose test was renamed or removed is noticed."""
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/guarantees.md").read_text("utf-8")))
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    missing = {name for name in named if f"def {name}(" not in code}
    assert len(named) > 30
    assert not missing
