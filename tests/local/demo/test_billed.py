"""What the demo's week is billed, and what docs/deploy.md says of it."""

from __future__ import annotations

import pytest

from local.demo.billed import CHOICES, END, Choice, Measured, report
from tools.project import ROOT

ACTIVITIES = "Custom-SentinelOneActivities"


def test_a_filter_and_a_choice_of_columns_store_less() -> None:
    """Fewer rows pass a filter; the same rows are smaller without one of their two copies."""
    measured = Measured(END, 0.05)
    whole = measured.by_stream(Choice("all"))[ACTIVITIES]
    columns = measured.by_stream(Choice("columns", "columns"))[ACTIVITIES]
    half = measured.by_stream(Choice("half", filters={ACTIVITIES: "activityType_d == 27"}))
    assert columns.rows == whole.rows > half[ACTIVITIES].rows > 0
    assert whole.size > columns.size > 0
    assert whole.size > half[ACTIVITIES].size > 0


@pytest.mark.slow
def test_the_page_has_what_is_measured() -> None:
    """The table of docs/deploy.md is the command's own output."""
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert report(Measured(END), CHOICES) in page
