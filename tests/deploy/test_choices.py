"""What a person chooses to store, and further consoles, sites and accounts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.deploy.arm_language import TemplateError
from tests.deploy.azure import Azure
from tests.deploy.conftest import GIVEN, azure_with_workspace, parameters
from tests.deploy.test_second_try import SEARCHES, with_table
from tests.deploy.test_template import ALERTS, RULES, TABLES
from tools.asim import custom_functions
from tools.content import load_tables
from tools.kql_check import Analysis, Query, analyse
from tools.rules import load_rules
from tools.template.rule import blinded_by
from tools.template.transforms import with_choices

ACTIVITIES = "Custom-SentinelOneActivities"
QUOTED = """primaryDescription_s !has "it's" and not(comments_s == '{"a": 1}' or id_s == '')"""
PLANS = ("Analytics", "Basic", "Auxiliary")
CHOICES = [
    {"activityData": activity_data, "tablePlan": plan}
    for activity_data in ("both", "columns", "json")
    for plan in PLANS
] + [{"filters": {ACTIVITIES: QUOTED}, "includeDataUserNameColumn": True}]


def transforms(azure: Azure) -> dict[str, str]:
    """Each stream's transform, as its rule has it."""
    return {
        flow["streams"][0]: flow["transformKql"]
        for rule in azure.of_type(RULES).values()
        for flow in rule["properties"]["dataFlows"]
    }


def titles(azure: Azure) -> set[str]:
    return {body["properties"]["displayName"] for body in azure.of_type(ALERTS).values()}


def columns(azure: Azure) -> dict[str, dict[str, str]]:
    """Each table's columns, with types as KQL names them."""
    return {
        body["properties"]["schema"]["name"]: {
            each["name"]: each["type"].lower() for each in body["properties"]["schema"]["columns"]
        }
        for body in azure.of_type(TABLES).values()
    }


@pytest.fixture(scope="module")
def chosen(template: dict[str, Any]) -> list[tuple[dict[str, Any], Azure, dict[str, Analysis]]]:
    """Each choice, its deployment, and what Microsoft's parser says of the transforms."""
    deployed = []
    for choice in CHOICES:
        azure = azure_with_workspace()
        azure.deploy(template, parameters(*GIVEN, **choice))
        deployed.append((choice, azure))
    streams = {name: stream for table in load_tables() for name, stream in table.streams.items()}
    asked = [
        Query(f"{number} {name}", text, transform=streams[name].columns)
        for number, (_, azure) in enumerate(deployed)
        for name, text in transforms(azure).items()
    ]
    said = {analysis.name: analysis for analysis in analyse(asked)}
    return [
        (choice, azure, {n: said[f"{number} {n}"] for n in transforms(azure)})
        for number, (choice, azure) in enumerate(deployed)
    ]


def test_every_choice_makes_transforms_that_fit_their_tables(
    chosen: list[tuple[dict[str, Any], Azure, dict[str, Analysis]]],
) -> None:
    """No transform has an error, and each column that it makes is one of its table's, alike."""
    table_of = {name: table.name for table in load_tables() for name in table.streams}
    for choice, azure, analyses in chosen:
        there = columns(azure)
        for stream, analysis in analyses.items():
            assert not analysis.errors, (choice, stream)
            table = there[table_of[stream]]
            for name, kind in (analysis.columns or {}).items():
                assert table[name] == kind, (choice, stream, name)


def test_local_measurements_pass_the_transforms_that_are_deployed(
    template: dict[str, Any], azure: Azure
) -> None:
    """The billed sizes of docs/deploy.md are those of the deployment's own transforms."""
    for activity_data in ("both", "columns", "json"):
        given = parameters(*GIVEN, activityData=activity_data, filters={ACTIVITIES: QUOTED})
        azure.deploy(template, given)
        for table in load_tables():
            for name, stream in table.streams.items():
                text = with_choices(
                    table,
                    stream,
                    activity_data=activity_data,
                    predicate=QUOTED if name == ACTIVITIES else "",
                )
                assert transforms(azure)[name] == text


def test_a_filter_arrives_as_it_was_written_and_names_the_rules_behind_it(
    template: dict[str, Any], azure: Azure
) -> None:
    """Quotes and all; the outputs name each rule that reads the stream."""
    outputs = azure.deploy(template, parameters(*GIVEN, filters={ACTIVITIES: QUOTED}))
    assert f" | where ({QUOTED})" in transforms(azure)[ACTIVITIES]
    reading = [r.title for r in load_rules() if ACTIVITIES in {s.name for s in r.streams}]
    assert "SentinelOne - New admin" in reading
    assert outputs["rulesThatReadFilteredStreams"] == reading
    assert azure.deploy(template, parameters(*GIVEN))["rulesThatReadFilteredStreams"] == []


@pytest.mark.parametrize(("choice", "left"), [("both", False), ("columns", False), ("json", True)])
def test_rules_that_a_choice_blinds_are_left_out(
    template: dict[str, Any], azure: Azure, choice: str, left: bool
) -> None:
    """A rule that names columns which stay empty is not installed, and named in the outputs."""
    outputs = azure.deploy(template, parameters(*GIVEN, activityData=choice))
    blinded = {rule.title for rule in load_rules() if choice in blinded_by(rule)}
    assert bool(blinded) is left
    assert set(outputs["rulesLeftOutByActivityData"]) == blinded
    assert titles(azure) == {rule.title for rule in load_rules()} - blinded


@pytest.mark.parametrize("plan", PLANS)
def test_new_tables_get_the_plan_that_was_chosen(
    template: dict[str, Any], azure: Azure, plan: str
) -> None:
    """One that is there keeps its own, health rows stay readable, and so do their rules."""
    with_table(azure, "Jira_Audit_CL", 2)
    azure.deploy(template, parameters(*GIVEN, tablePlan=plan, migratedTables=["Jira_Audit_CL"]))
    plans = {
        body["properties"]["schema"]["name"]: body["properties"]["plan"]
        for body in azure.of_type(TABLES).values()
    }
    assert plans.pop("ConnectorHealth_CL") == plans.pop("Jira_Audit_CL") == "Analytics"
    assert set(plans.values()) == {plan}
    readable = {
        rule.title
        for rule in load_rules()
        if plan == "Analytics"
        or {table.name for table in rule.tables} <= {"ConnectorHealth_CL", "Jira_Audit_CL"}
    }
    assert titles(azure) == readable
    kinds = {kind for name in plans for kind in columns(azure)[name].values()}
    assert ("dynamic" in kinds) is (plan != "Auxiliary")


EMEA = {
    "connector": "SentinelOne",
    "name": "emea",
    "settings": {"SentinelOneUrl": "https://emea.sentinelone.net", "SentinelOneStreams": "threats"},
}
CLOUD = {
    "connector": "Jira",
    "name": "cloud2",
    "settings": {"JiraHomeSiteName": "acme2", "JiraUsername": "audit@acme2.example"},
}


def test_a_named_connection_gets_its_settings_and_a_place_for_its_secret(
    template: dict[str, Any], azure: Azure
) -> None:
    """Settings carry its name, a secret is a reference to the vault, and nothing else changes."""
    azure.deploy(template, parameters("SentinelOne"))
    before = dict(azure.app_settings)
    azure.deploy(template, parameters("SentinelOne", connections=[EMEA, CLOUD]))
    added = {name: value for name, value in azure.app_settings.items() if name not in before}
    vault = before["KeyVaultUri"]
    assert added.pop("JiraAuditRuleId").startswith("dcr-")
    assert added == {
        "SentinelOneUrl__emea": "https://emea.sentinelone.net",
        "SentinelOneStreams__emea": "threats",
        "SentinelOneAPIToken__emea": (
            f"@Microsoft.KeyVault(SecretUri={vault}secrets/SentinelOneAPIToken--emea)"
        ),
        "JiraHomeSiteName__cloud2": "acme2",
        "JiraUsername__cloud2": "audit@acme2.example",
        "JiraAccessToken__cloud2": (
            f"@Microsoft.KeyVault(SecretUri={vault}secrets/JiraAccessToken--cloud2)"
        ),
    }
    assert {name: azure.app_settings[name] for name in before} == before


def test_a_connector_with_named_connections_alone_is_deployed(
    template: dict[str, Any], azure: Azure
) -> None:
    """Its table, rule and content are there, and no setting of the connection without a name."""
    lone = {"connector": "OneLogin", "name": "branch"}
    azure.deploy(template, parameters(connections=[lone]))
    assert any(identity.endswith("onelogin_cl") for identity in azure.of_type(TABLES))
    assert "OneLoginBearerToken__branch" in azure.app_settings
    assert "OneLoginBearerToken" not in azure.app_settings
    reference = "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/x)"
    more = {"OneLoginBearerToken__other": reference, "OverlapMinutes": 15}
    azure.deploy(template, parameters(connections=[lone], appSettings=more))
    assert azure.app_settings["OneLoginBearerToken__other"] == reference
    assert "seclogs-OneLogin" in azure.tags


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"connections": [{**EMEA, "connector": "Okta"}]}, "connectionsOfUnknownConnectors"),
        ({"connections": [{**EMEA, "connector": "TrapEye"}]}, "connectionsOfUnknownConnectors"),
        (
            {"connections": [{**EMEA, "settings": {"SentinelOneAPIToken": "x"}}]},
            "connectionsWithSecretSettings",
        ),
        (
            {"connections": [{**EMEA, "settings": {"sentinelOneApiToken": "x"}}]},
            "connectionsWithSecretSettings",
        ),
        ({"appSettings": {"JiraAccessToken__cloud2": "x"}}, "appSettingsOfKeyVault"),
        ({"filters": {"Custom-SentinelOneActivity": "true"}}, "filtersOfUnknownStreams"),
    ],
    ids=["unknown", "sender", "secret", "secret in other letters", "plain secret", "stream"],
)
def test_a_wrong_name_is_told_before_anything_is_made(
    template: dict[str, Any], azure: Azure, given: dict[str, Any], named: str
) -> None:
    """The refusal's parameter says what is wrong, and nothing is there afterwards."""
    with pytest.raises(TemplateError, match=named):
        azure.deploy(template, parameters("Jira", **given))
    assert azure.put == []
    assert named in json.dumps(template)


def test_the_unifying_parsers_custom_functions_are_made_on_request_only(
    template: dict[str, Any], azure: Azure
) -> None:
    """An owner's own are never written over: without asimCustomFunctions none is written."""
    custom = {parser.alias for parser in custom_functions()}
    azure.deploy(template, parameters("OneLogin"))
    assert custom
    assert not custom & aliases(azure)
    azure.deploy(
        template, parameters("OneLogin", sentinelContent="always", asimCustomFunctions=True)
    )
    assert custom <= aliases(azure)


def aliases(azure: Azure) -> set[str]:
    return {body["properties"]["functionAlias"] for body in azure.of_type(SEARCHES).values()}
