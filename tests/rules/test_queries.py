"""What Microsoft's own KQL parser says of every rule, Data connectors page and workbook panel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pytest

from tests.rules.files import Rule, page_queries, rules, workbook_queries
from tools import workbook
from tools.kql_check import Analysis, Query, analyse

Analyses = Mapping[str, Analysis]

# Azure's own tables that the workbook reads, as far as it reads them.
# https://learn.microsoft.com/azure/azure-monitor/reference/tables-index
AZURES_TABLES = {
    "Usage": {"TimeGenerated": "datetime", "DataType": "string", "Quantity": "real"},
    "DCRLogErrors": {
        "TimeGenerated": "datetime",
        "InputStreamId": "string",
        "OperationName": "string",
        "Message": "string",
    },
}
OTHERS = {**page_queries(), **workbook_queries()}


@pytest.fixture(scope="module")
def analyses() -> Analyses:
    """What the parser says, by rule or place; it starts slowly, so it is asked once."""
    texts = {rule.name: rule.query for rule in rules()} | OTHERS
    asked = [Query(name, text, open_tables=AZURES_TABLES) for name, text in texts.items()]
    return {analysis.name: analysis for analysis in analyse(asked)}


def columns_named(rule: Rule) -> Iterator[str]:
    """Every column of its query's result that a rule refers to."""
    for mapping in rule.body["entityMappings"]:
        yield from (identifier["columnName"] for identifier in mapping["fieldMappings"])
    yield from rule.body["customDetails"].values()
    for name, text in rule.body["alertDetailsOverride"].items():
        yield from [text] if name.endswith("ColumnName") else re.findall(r"\{\{(\w+)\}\}", text)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_a_rule_refers_only_to_what_its_query_returns(rule: Rule, analyses: Analyses) -> None:
    """A query has no error, and entities, details and texts name columns of its result."""
    analysis = analyses[rule.name]
    assert not analysis.errors
    assert analysis.columns
    assert set(columns_named(rule)) <= analysis.columns.keys()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_entities_are_texts(rule: Rule, analyses: Analyses) -> None:
    """An entity's identifier is a string: Sentinel maps nothing else."""
    columns = analyses[rule.name].columns or {}
    for mapping in rule.body["entityMappings"]:
        for identifier in mapping["fieldMappings"]:
            assert columns[identifier["columnName"]] == "string"


@pytest.mark.parametrize("place", OTHERS)
def test_queries_of_pages_and_panels_are_without_errors(place: str, analyses: Analyses) -> None:
    """Every query that the gallery or the workbook runs is one that a workspace understands."""
    assert not analyses[place].errors
    assert analyses[place].columns


@pytest.mark.parametrize("place", [place for place in OTHERS if "connectivityCriteria" in place])
def test_a_page_says_whether_it_is_connected(place: str, analyses: Analyses) -> None:
    """A connectivity query results in the one column that the gallery reads."""
    assert analyses[place].columns == {"IsConnected": "boolean"}


@pytest.mark.parametrize("place", [place for place in OTHERS if "dataTypes" in place])
def test_a_page_says_when_data_came_last(place: str, analyses: Analyses) -> None:
    """A last-data query results in the one time that the gallery shows."""
    assert analyses[place].columns == {"Time": "datetime"}


def test_panels_have_the_columns_that_they_are_drawn_from(analyses: Analyses) -> None:
    """Tiles need Name and Count, a chart over time a time, and icons their column."""
    for name in workbook.metadata()["pages"]:
        for panel in workbook.page(name)["panels"]:
            columns = analyses[f"workbook {name}: {panel['title']}"].columns or {}
            if panel["as"] == "tiles":
                assert set(columns) == {"Name", "Count"}
            if panel["as"] == "timechart":
                assert "datetime" in columns.values()
            assert panel.get("status", next(iter(columns))) in columns
