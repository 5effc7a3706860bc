"""The workbook that the template deploys."""

from __future__ import annotations

import json
import uuid

from tools import workbook


def groups() -> list[dict[str, object]]:
    items: list[dict[str, object]] = workbook.workbook()["items"]
    return [item for item in items if item["type"] == 12]


def test_the_committed_document_is_the_one_that_its_pages_make() -> None:
    """A page that changed without the document is noticed, and the document is JSON."""
    committed = workbook.WORKBOOK.read_text("utf-8")
    assert committed == workbook.serialized()
    assert json.loads(committed) == workbook.workbook()
    assert workbook.main(["--check"]) == 0


def test_there_is_a_page_a_source_and_one_for_health() -> None:
    """Every tab shows its own page, and no page is without a tab."""
    (tabs,) = [item for item in workbook.workbook()["items"] if item["type"] == 11]
    chosen = [link["subTarget"] for link in tabs["content"]["links"]]
    assert sorted(chosen) == ["Health", "Jira", "OneLogin", "SentinelOne", "TrapEye"]
    shown = [group["conditionalVisibility"] for group in groups()]
    assert shown == [
        {"parameterName": "Page", "comparison": "isEqualTo", "value": name} for name in chosen
    ]


def test_every_panel_has_a_name_of_its_own_and_follows_the_time_range() -> None:
    """Panels are told apart by name, and none ignores the time that a person chose."""
    names = []
    for group in groups():
        content = group["content"]
        assert isinstance(content, dict)
        for item in content["items"]:
            names.append(item["name"])
            if item["type"] == 3:
                assert item["content"]["timeContextFromParameter"] == "TimeRange"
                assert item["content"]["title"]
    assert len(set(names)) == len(names)
    assert len(names) > 30


def test_every_build_gives_the_same_ids() -> None:
    """Ids are GUIDs and do not change from build to build, so nothing is redeployed for nothing."""
    assert workbook.serialized() == workbook.serialized()
    (tabs,) = [item for item in workbook.workbook()["items"] if item["type"] == 11]
    assert all(uuid.UUID(link["id"]) for link in tabs["content"]["links"])
