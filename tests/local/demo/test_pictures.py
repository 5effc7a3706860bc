"""The workbook's panels over the demo's week: none is empty without a reason."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from local.demo.panels import EMPTY_HERE, Panel, filled_week, panels
from local.demo.pictures import page
from tools import workbook

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found() -> Iterator[list[Panel]]:
    """Every panel with its rows over a small week."""
    week = filled_week(datetime(2026, 11, 20, 12, 0, tzinfo=UTC), 0.05)
    yield list(panels(week.workspace))
    week.workspace.close()


def test_every_panel_of_the_document_runs(found: list[Panel]) -> None:
    """Each panel of each page is there; only those over Azure's own tables have none to read."""
    titles = [panel["title"] for name in PAGES for panel in workbook.page(name)["panels"]]
    assert [panel.title for panel in found] == titles
    missing = {panel.title for panel in found if panel.missing}
    assert missing == {"Billed gigabytes by table", "What the collection rules refused"}


def test_no_panel_is_empty_without_a_reason(found: list[Panel]) -> None:
    """A panel shows something of the demo's week, or a reason is stated; no reason is stale."""
    assert {panel.title for panel in found if not panel.rows.rows} == set(EMPTY_HERE)


def test_a_page_is_drawn_with_all_of_its_panels(found: list[Panel]) -> None:
    """Each page has a title for each panel, rows or a reason, and a height for all of them."""
    for name in PAGES:
        shown = [panel for panel in found if panel.page == name]
        html, height = page(name, shown)
        for panel in shown:
            assert f"<h2>{panel.title}</h2>" in html
        assert html.count('class="why"') == sum(not panel.rows.rows for panel in shown)
        assert height > 200 * len(shown) / 2


PAGES: list[str] = workbook.metadata()["pages"]
