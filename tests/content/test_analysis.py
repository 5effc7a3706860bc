"""What Microsoft's own KQL parser says of every transform and parser, and Azure's limits."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.content.analysed import PARSED_WORKSPACES, REFUSED, STREAMS
from tools.content import (
    MAX_COLUMN_NAME,
    MAX_COLUMNS,
    MAX_FLOWS,
    MAX_TRANSFORM_CHARACTERS,
    Table,
    load_parsers,
    load_tables,
)
from tools.kql_check import Analysis
from tools.template.transforms import one_line

# https://learn.microsoft.com/azure/azure-monitor/logs/create-custom-table#column-names
RESERVED = {"id", "Type", "Title", "TenantId", "UniqueId", "_ResourceId", "_SubscriptionId"}


@pytest.mark.parametrize("stream", STREAMS)
def test_transforms_result_in_columns_of_their_table(
    analyses: Mapping[str, Analysis], stream: str
) -> None:
    """A transform uses what Azure lets it use, and each column has the type that its table has."""
    table, _ = STREAMS[stream]
    analysis = analyses[stream]
    assert not analysis.errors
    assert analysis.columns is not None
    assert analysis.columns["TimeGenerated"] == "datetime"
    assert {name: table.columns.get(name) for name in analysis.columns} == analysis.columns


def test_every_column_is_filled_by_a_stream(analyses: Mapping[str, Analysis]) -> None:
    """A table has no column that nothing fills, but for the two secrets that are never sent.

    And for those of classic tables, which exist to be named.
    """
    filled: dict[str, set[str]] = {}
    for name, (table, _) in STREAMS.items():
        filled.setdefault(table.name, set()).update(analyses[name].columns or ())
    empty = {
        column for table in load_tables() for column in table.columns.keys() - filled[table.name]
    }
    secrets = {"licenseKey_s", "registrationToken_s"}
    assert empty == {*secrets, "Computer", "MG", "ManagementGroupName", "RawData"}


@pytest.mark.parametrize(("kql", "fault"), REFUSED.items(), ids=REFUSED.values())
def test_what_azure_refuses_in_a_transform_is_found(
    analyses: Mapping[str, Analysis], kql: str, fault: str
) -> None:
    """The check is one that can fail: what is outside of Azure's list is an error that names it."""
    assert any(fault in error for error in analyses[kql].errors)


@pytest.mark.parametrize("alias", [parser.alias for parser in load_parsers()])
def test_parsers_stand_whatever_is_absent(analyses: Mapping[str, Analysis], alias: str) -> None:
    """A parser has the same columns and types with all tables, hardly a column, or no table."""
    found = [analyses[f"{alias} in {workspace}"] for workspace in PARSED_WORKSPACES]
    assert not [error for analysis in found for error in analysis.errors]
    whole, *others = [analysis.columns for analysis in found]
    assert whole
    assert "TimeGenerated" in whole
    assert others == [whole] * len(others)


@pytest.mark.parametrize("table", load_tables(), ids=lambda table: table.name)
def test_tables_stay_within_azures_limits(table: Table) -> None:
    """A table's columns are few enough, named as Azure allows, and the rule's flows number ten."""
    assert len(table.columns) <= MAX_COLUMNS
    for name in table.columns:
        assert re.fullmatch(r"[A-Za-z]\w*", name)
        assert len(name) <= MAX_COLUMN_NAME
        assert name not in RESERVED
    assert len(table.streams) <= MAX_FLOWS


def test_transforms_stay_within_azures_limit() -> None:
    """On one line, with the casts that a migrated table needs, a transform is short enough."""
    for table, stream in STREAMS.values():
        guids = [name for name in table.columns if name.endswith("_g")]
        casts = sum(len(f"{name} = toguid({name}), ") for name in guids if name in stream.transform)
        assert len(one_line(stream.transform)) + casts + 60 <= MAX_TRANSFORM_CHARACTERS


def test_columns_that_differ_by_case_alone_are_optional() -> None:
    """A deployment can leave out any column that another one equals but for its case."""
    for table in load_tables():
        folded = [name.casefold() for name in table.columns]
        twins = {name for name in table.columns if folded.count(name.casefold()) > 1}
        assert not twins or twins & set(table.optional_columns)
