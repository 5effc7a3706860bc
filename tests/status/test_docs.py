"""docs/operate.md: its table of states is the page's, its requests are those that are answered."""

from __future__ import annotations

import re

from shared.status import handler
from shared.status.problems import LOOK
from shared.telemetry.run import RunState
from tools.project import ROOT

PAGE = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")


def test_each_badge_of_the_page_is_explained() -> None:
    """The states of streams, and that of a matter of the app."""
    table = PAGE[PAGE.index("| state | means |") :].partition("\n\n")[0]
    rows = re.findall(r"^\| ([a-z ]+) \|", table, re.MULTILINE)
    assert set(rows) - {"state"} == {*RunState, LOOK}


def test_each_request_that_is_quoted_is_one() -> None:
    """`&pause=…` and the others are names that the page's handler acts on or shows."""
    quoted = set(re.findall(r"(?:POST|GET) (?:\S*/api/Status\?code=<key>|…)&([a-z-]+)=", PAGE))
    quoted |= set(re.findall(r"\$url\?code=\$key&([a-z-]+)=", PAGE))
    assert quoted == {*handler._BUTTONS, "probe"}
