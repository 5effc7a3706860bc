"""The ASIM parsers' columns and rows: what their schemas say, whatever the source brings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from local.workspace.workspace import Workspace
from tests.content import asim
from tests.content.analysed import WORKSPACES
from tests.content.golden import NOW, sent
from tools.asim import (
    AsimParser,
    asim_functions,
    custom_functions,
    custom_line,
    left_out,
    load_asim,
)
from tools.content import load_parsers, load_tables
from tools.kql_check import Analysis
from tools.project import ROOT

PARSERS = load_asim()
each_parser = pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.filtering.alias)

# Mandatory and recommended fields that a source has nothing for.
NOT_TOLD = {
    "OneLogin": {
        # A cloud service: it is no device, and it names none of a person's.
        *"DvcDomain DvcHostname DvcIpAddr DstDomain DstDomainType DstHostname DstIpAddr".split(),
        *"TargetDomain TargetHostname TargetIpAddr SrcDomain SrcDomainType SrcHostname".split(),
    },
    "JiraAudit": {
        *"DvcDomain DvcHostname DvcIpAddr DstDomain DstDomainType DstHostname DstIpAddr".split(),
        *"TargetDomain TargetHostname TargetIpAddr SrcDomain SrcDomainType SrcHostname".split(),
        # The audit log holds no failure, so no reason for it.
        "EventResultDetails",
    },
    "SentinelOneThreats": {"AttackRemediationSteps", "EventResultDetails"},
}
# Log Analytics' own id of a row, which the local workspace does not make.
NOT_LOCAL = {"EventUid"}


@pytest.fixture(scope="module")
def filled() -> Iterator[Workspace]:
    """A workspace with records of every kind."""
    workspace = asim.filled()
    yield workspace
    workspace.close()


@pytest.fixture(scope="module")
def rows(filled: Workspace) -> Mapping[str, list[dict[str, Any]]]:
    """The rows of each filtering parser, by alias."""
    aliases = [each.filtering.alias for each in PARSERS]
    return {alias: filled.query(f"{alias}(pack=true)").dicts() for alias in aliases}


def expected(parser: AsimParser, *importance: str) -> set[str]:
    """The fields of a class that the parser's source can fill."""
    fields = asim.schema(parser.schema).items()
    return {name for name, field in fields if field.importance in importance} - NOT_TOLD[
        parser.product
    ]


def test_the_parsers_are_the_promised_ones() -> None:
    """Each source has its schemas, plain and filtering, under ASIM's names."""
    assert [each.plain.alias for each in PARSERS] == [
        "ASimAlertEventSentinelOneThreats",
        "ASimAuditEventJiraAudit",
        "ASimAuditEventOneLogin",
        "ASimAuthenticationOneLogin",
        "ASimUserManagementJiraAudit",
        "ASimUserManagementOneLogin",
    ]
    assert {each.plain.signature for each in PARSERS} == {"disabled:bool=false"}


@pytest.mark.parametrize("alias", [each.alias for each in [*asim_functions(), *custom_functions()]])
def test_functions_stand_whatever_is_absent(analyses: Mapping[str, Analysis], alias: str) -> None:
    """A function has the same columns and types with all, with hardly any, and with no table."""
    found = [analyses[f"{alias} in {workspace}"] for workspace in WORKSPACES]
    assert not [error for analysis in found for error in analysis.errors]
    whole, *others = [analysis.columns for analysis in found]
    assert whole
    assert others == [whole, whole]


@each_parser
def test_the_documentation_has_the_lines_to_add(parser: AsimParser) -> None:
    """docs/asim.md names each parser's lines for the workspace's Custom functions, as they are."""
    page = (ROOT / "docs" / "asim.md").read_text(encoding="utf-8")
    for plain, begins in ((True, "ASim_"), (False, "Im_")):
        line = custom_line(parser, plain=plain)
        assert f"| `{begins}{parser.schema}Custom` | `{line}` |" in page


@each_parser
def test_columns_are_the_schemas_with_its_types(
    analyses: Mapping[str, Analysis], parser: AsimParser
) -> None:
    """A parser has no column that its schema lacks, and none of another type."""
    columns = analyses[f"{parser.filtering.alias} in whole"].columns or {}
    fields = asim.schema(parser.schema)
    assert columns == {name: fields[name].kind for name in columns}
    assert columns == analyses[f"{parser.plain.alias} in whole"].columns


@each_parser
def test_mandatory_and_recommended_fields_are_there(
    analyses: Mapping[str, Analysis], parser: AsimParser
) -> None:
    """A parser has each mandatory and recommended field but those that its source cannot tell."""
    columns = analyses[f"{parser.filtering.alias} in whole"].columns or {}
    assert expected(parser, "Mandatory", "Recommended") <= columns.keys()
    assert not NOT_TOLD[parser.product] & columns.keys() - {"EventResultDetails"}


@each_parser
def test_aliases_are_there_where_their_fields_are(
    analyses: Mapping[str, Analysis], parser: AsimParser
) -> None:
    """An alias of the schema whose field the parser has is a column too."""
    columns = analyses[f"{parser.filtering.alias} in whole"].columns or {}
    aliases = {
        name
        for name, field in asim.schema(parser.schema).items()
        if set(field.alias_of) & columns.keys()
    }
    # EventSubType tells the kind of change; the property's name is the source's own.
    assert aliases - {"UpdatedPropertyName", "Dst"} <= columns.keys()


@each_parser
def test_mandatory_fields_are_filled_in_every_row(
    rows: Mapping[str, list[dict[str, Any]]], parser: AsimParser
) -> None:
    """No row lacks a mandatory field, and each recommended one is filled in some row."""
    found = rows[parser.filtering.alias]
    assert found
    for row in found:
        assert not [name for name in expected(parser, "Mandatory") if row[name] in ("", None)]
    recommended = expected(parser, "Recommended") - NOT_LOCAL
    assert not [name for name in recommended if not any(row[name] for row in found)]


@each_parser
def test_values_are_ones_that_the_schema_allows(
    rows: Mapping[str, list[dict[str, Any]]], parser: AsimParser
) -> None:
    """A field with a list of values has one of them, or nothing where it may be left out."""
    for name, field in asim.schema(parser.schema).items():
        if field.allowed:
            allowed = {"", *field.allowed} - ({""} if field.importance == "Mandatory" else set())
            values = {row[name] for row in rows[parser.filtering.alias] if name in row}
            assert values <= allowed, (name, values - allowed)


@each_parser
def test_aliases_and_conditions_hold_in_every_row(
    rows: Mapping[str, list[dict[str, Any]]], parser: AsimParser
) -> None:
    """An alias equals one of its fields, and a field's type stands exactly where the field does."""
    for row in rows[parser.filtering.alias]:
        for name, field in asim.schema(parser.schema).items():
            present = [row[each] for each in field.alias_of if each in row]
            if name in row and field.conditional_on in row:
                assert bool(row[name]) == bool(row[field.conditional_on]), name
            if name in row and present and name != "UpdatedPropertyName":
                assert row[name] in present, name


def test_each_type_of_onelogin_is_in_one_parser_or_left_out() -> None:
    """OneLogin's list of types is divided between the parsers and the reasoned rest."""
    named = next(each.body for each in load_parsers() if each.alias == "OneLogin")
    types = dict(re.findall(r'\b(\d+), "([A-Z0-9_]+)"', named))
    workspace = Workspace(None, now=lambda: NOW)
    events = [{"uuid": number, "event_type_id": int(number)} for number in types]
    workspace.ingest("Custom-OneLogin", [sent("Custom-OneLogin", event) for event in events])
    found: list[tuple[str, str]] = []
    for parser in PARSERS:
        if parser.product == "OneLogin":
            kql = f"{parser.filtering.alias} | project EventOriginalUid, EventOriginalType"
            found += [(row[0], row[1]) for row in workspace.query(kql).rows]
    workspace.close()
    mapped = dict(found)
    assert len(mapped) == len(found)
    assert mapped.keys() & left_out()["OneLogin"].keys() == set()
    assert mapped.keys() | left_out()["OneLogin"].keys() == types.keys()
    assert {number: types[number] for number in mapped} == mapped
    assert len(mapped) > 350


def test_each_record_of_jira_is_in_one_parser(
    filled: Workspace, rows: Mapping[str, list[dict[str, Any]]]
) -> None:
    """A record of any category is a user's or group's, or an audit event, and never both."""
    users = rows["vimUserManagementJiraAudit"]
    audits = rows["vimAuditEventJiraAudit"]
    stored = filled.query("Jira_Audit_CL | project tostring(tolong(id_d)), category_s").rows
    ids = [row["EventOriginalUid"] for row in [*users, *audits]]
    assert sorted(ids) == sorted(row[0] for row in stored if row[0])
    categories = {row[1] for row in stored} - {""}
    told = {row["EventOriginalSubType"] for row in [*users, *audits]} - {""}
    assert told == categories
    assert len(categories) >= 7
    unknown = {row["Operation"] for row in audits if row["EventType"] == "Other"}
    assert unknown == {"summary"}


def test_a_member_of_a_group_is_the_target(rows: Mapping[str, list[dict[str, Any]]]) -> None:
    """Who was added, to which group, by whom: told alike for OneLogin's roles and Jira's groups."""
    added = [
        (row["EventVendor"], row["TargetUsername"], row["GroupName"], row["ActorUsername"] != "")
        for alias in ("vimUserManagementJiraAudit", "vimUserManagementOneLogin")
        for row in rows[alias]
        if row["EventType"] == "UserAddedToGroup"
    ]
    assert ("Atlassian", "ben.okafor", "jira-administrators", True) in added
    assert any(row[::2] == ("OneLogin", "Administrators") for row in added)
    assert any(row[::2] == ("OneLogin", "Super user") for row in added)


def test_a_failed_login_says_why(rows: Mapping[str, list[dict[str, Any]]]) -> None:
    """OneLogin's own words for a failure become one of the schema's reasons."""
    details = {
        (row["EventOriginalType"], row["EventResultDetails"])
        for row in rows["vimAuthenticationOneLogin"]
        if row["EventResult"] == "Failure"
    }
    assert ("USER_FAILED_ONELOGIN_LOGIN", "Incorrect password") in details
    assert ("USER_LOGIN_CHALLENGE_FAILED", "MFA not satisfied") in details


def test_a_changed_value_is_told_before_and_after(
    rows: Mapping[str, list[dict[str, Any]]],
) -> None:
    """An audit event of Jira has the values of all changed fields."""
    (changed, *_) = [
        row for row in rows["vimAuditEventJiraAudit"] if row["Operation"] == "Workflow updated"
    ]
    assert (changed["OldValue"], changed["NewValue"]) == ("Fulfillment", "Fulfilment")


def test_a_threat_has_the_tactics_of_its_indicators(workspace: Workspace) -> None:
    """Tactics and techniques that a threat's indicators name are fields of the alert."""
    record = asim.made("Custom-SentinelOneThreats")[0]
    tactics = [{"name": "Credential Access", "techniques": [{"name": "T1003.001", "link": "x"}]}]
    record["indicators"] = [{"category": "InfoStealer", "ids": [1], "tactics": tactics}]
    workspace.ingest("Custom-SentinelOneThreats", [sent("Custom-SentinelOneThreats", record)])
    found = workspace.query(
        "vimAlertEventSentinelOneThreats | project AttackTactics, AttackTechniques"
    )
    assert found.rows == [("Credential Access", "T1003.001")]


@each_parser
def test_plain_parsers_give_the_same_rows_unless_disabled(
    filled: Workspace, rows: Mapping[str, list[dict[str, Any]]], parser: AsimParser
) -> None:
    """The plain parser has the filtering one's rows, and none when it is disabled."""
    assert filled.query(parser.plain.alias).dicts() == rows[parser.filtering.alias]
    assert filled.query(f"{parser.plain.alias}(disabled=true) | count").rows == [(0,)]


@each_parser
def test_parsers_run_where_their_table_is_not(
    analyses: Mapping[str, Analysis], parser: AsimParser
) -> None:
    """Without its table a parser gives no rows, with the columns and types that it always has."""
    tables = [table for table in load_tables() if table.name == "ConnectorHealth_CL"]
    workspace = Workspace(None, now=lambda: NOW, tables=tables)
    found = workspace.query(parser.filtering.alias)
    workspace.close()
    columns = {name: "boolean" if kind == "bool" else kind for name, kind in found.columns}
    assert found.rows == []
    assert columns == analyses[f"{parser.filtering.alias} in whole"].columns
