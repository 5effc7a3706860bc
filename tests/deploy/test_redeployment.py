"""What stays as a person left it when the template is deployed again."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from tests.deploy.azure import Azure
from tests.deploy.conftest import parameters
from tests.deploy.test_template import ALERTS, PAGES, RULES, TABLES
from tools import template as source

pytestmark = pytest.mark.slow


def table(azure: Azure, name: str) -> dict[str, Any]:
    return next(
        body for identity, body in azure.of_type(TABLES).items() if identity.endswith(name.lower())
    )


def columns(azure: Azure, name: str) -> dict[str, str]:
    return {
        column["name"]: column["type"]
        for column in table(azure, name)["properties"]["schema"]["columns"]
    }


def test_settings_made_in_the_portal_stay(template: dict[str, Any], azure: Azure) -> None:
    """A deployment adds and renews its own settings, and leaves all others."""
    azure.deploy(template, parameters("SentinelOne"))
    azure.app_settings["OverlapMinutes"] = "30"
    azure.app_settings["SentinelOneStreams"] = "threats,alerts"
    azure.deploy(template, parameters("Jira"))
    assert azure.app_settings["OverlapMinutes"] == "30"
    assert azure.app_settings["SentinelOneStreams"] == "threats,alerts"
    assert azure.app_settings["SentinelOneUrl"] == "https://acme.sentinelone.net"
    assert azure.app_settings["JiraHomeSiteName"] == "acme"


def test_further_settings_can_be_given(template: dict[str, Any], azure: Azure) -> None:
    """The parameter appSettings sets any setting but those that make the app work."""
    given = {"OverlapMinutes": "15", "LogsIngestionEndpoint": "https://elsewhere.example"}
    azure.deploy(template, parameters("Jira", appSettings=given))
    assert azure.app_settings["OverlapMinutes"] == "15"
    assert azure.app_settings["LogsIngestionEndpoint"] != "https://elsewhere.example"


def test_an_empty_secret_leaves_the_one_in_key_vault(
    template: dict[str, Any], azure: Azure
) -> None:
    """An upgrade needs no secrets again, and keeps the connector running."""
    azure.deploy(template, parameters("SentinelOne", "OneLogin"))
    before = copy.deepcopy(azure.app_settings)
    azure.deploy(
        template,
        parameters(SentinelOneUrl="https://acme.sentinelone.net", useOneLogin=True),
    )
    assert azure.app_settings == before
    assert not [identity for identity in azure.put if "/secrets/" in identity]
    assert [identity for identity in azure.put if identity.endswith("seclogs-onelogin")]


def test_an_optional_setting_is_written_only_where_it_is_given(
    template: dict[str, Any], azure: Azure
) -> None:
    """Without a value the app keeps what it has, or the default."""
    azure.deploy(template, parameters("SentinelOne", SentinelOneRequestsPerSecond="2"))
    assert azure.app_settings["SentinelOneRequestsPerSecond"] == "2"
    assert "SentinelOneInventoryMinutes" not in azure.app_settings
    assert "SentinelOneStreams" not in azure.app_settings
    azure.deploy(template, parameters("SentinelOne"))
    assert azure.app_settings["SentinelOneRequestsPerSecond"] == "2"


def test_a_required_setting_is_written_with_its_connector_and_never_emptied(
    template: dict[str, Any], azure: Azure
) -> None:
    """No half of a connector is set up, and a deployment that leaves one out keeps it."""
    azure.deploy(template, parameters(JiraUsername="audit@acme.example"))
    assert "JiraUsername" not in azure.app_settings
    azure.deploy(template, parameters("Jira"))
    azure.deploy(template, parameters("Jira", JiraUsername=""))
    assert azure.app_settings["JiraUsername"] == "audit@acme.example"


def test_rules_that_a_person_tuned_are_not_written_over(
    template: dict[str, Any], azure: Azure
) -> None:
    """Content is installed once; a connector that is added later brings its own."""
    azure.deploy(template, parameters("SentinelOne"))
    first = set(azure.of_type(ALERTS))
    tuned = next(iter(azure.of_type(ALERTS).values()))
    tuned["properties"]["enabled"] = False
    azure.deploy(template, parameters("SentinelOne", "Jira"))
    assert tuned["properties"]["enabled"] is False
    assert set(azure.of_type(ALERTS)) > first
    assert not first & set(azure.put)


def test_content_can_be_installed_anew_or_left_out(template: dict[str, Any], azure: Azure) -> None:
    """sentinelContent says so: always overwrites, never makes none."""
    azure.deploy(template, parameters("Jira", sentinelContent="never"))
    assert not azure.of_type(ALERTS)
    azure.deploy(template, parameters("Jira", enableRules=False))
    made = azure.of_type(ALERTS)
    assert made
    assert not any(body["properties"]["enabled"] for body in made.values())
    azure.deploy(template, parameters("Jira", sentinelContent="always"))
    assert all(body["properties"]["enabled"] for body in azure.of_type(ALERTS).values())


def test_tags_of_the_group_stay(template: dict[str, Any], azure: Azure) -> None:
    """The note of what is installed is added to the group's own tags."""
    azure.tags = {"owner": "soc"}
    azure.deploy(template, parameters("Jira"))
    assert azure.tags["owner"] == "soc"
    assert "seclogs-Jira" in azure.tags
    assert "seclogs-SentinelOne" not in azure.tags


def test_columns_and_retention_of_a_table_stay(template: dict[str, Any], azure: Azure) -> None:
    """A column that a person added, and a retention that a person chose, outlast an upgrade."""
    azure.deploy(template, parameters("Jira"))
    now = table(azure, "Jira_Audit_CL")["properties"]
    now["schema"]["columns"].append({"name": "Reviewed_b", "type": "boolean"})
    now["retentionInDays"] = 180
    now["totalRetentionInDays"] = 365
    azure.deploy(template, parameters("Jira"))
    assert columns(azure, "Jira_Audit_CL")["Reviewed_b"] == "boolean"
    assert table(azure, "Jira_Audit_CL")["properties"]["retentionInDays"] == 180
    assert table(azure, "Jira_Audit_CL")["properties"]["totalRetentionInDays"] == 365


def test_a_migrated_table_keeps_its_columns_and_types(
    template: dict[str, Any], azure: Azure
) -> None:
    """The Data Collector made guid columns: they stay, and the transforms give guids."""
    identity = next(iter(azure.resources)) + "/tables/onelogin_cl"  # the workspace is all there is
    azure.resources[identity] = {
        "type": TABLES,
        "properties": {
            "plan": "Analytics",
            "retentionInDays": 90,
            "totalRetentionInDays": 90,
            "schema": {
                "name": "OneLogin_CL",
                "columns": [
                    {"name": "uuid_g", "type": "guid"},
                    {"name": "an_old_field_s", "type": "string"},
                ],
            },
        },
    }
    azure.deploy(template, parameters("OneLogin", migratedTables=["OneLogin_CL"]))
    have = columns(azure, "OneLogin_CL")
    assert have["uuid_g"] == "guid"
    assert have["an_old_field_s"] == "string"
    assert have["TimeGenerated"] == "dateTime"
    rule = next(body for name, body in azure.of_type(RULES).items() if name.endswith("onelogin"))
    (flow,) = rule["properties"]["dataFlows"]
    assert "uuid_g = toguid(uuid_g)" in flow["transformKql"]


def test_nothing_clashes_on_a_classic_table(template: dict[str, Any], azure: Azure) -> None:
    """Standard columns are not given again, and the rule casts the columns that are guids.

    The simulated Azure refuses a standard column that is given again and a type that changes.
    """
    identity = next(iter(azure.resources)) + "/tables/sentinelone_cl"
    standard = ("TenantId", "SourceSystem", "MG", "ManagementGroupName", "TimeGenerated")
    azure.resources[identity] = {
        "type": TABLES,
        "properties": {
            "plan": "Analytics",
            "retentionInDays": 90,
            "totalRetentionInDays": 90,
            "schema": {
                "name": "SentinelOne_CL",
                "standardColumns": [
                    {"name": name, "type": "string"} for name in (*standard, "Computer", "RawData")
                ],
                "columns": [
                    {"name": "activityUuid_g", "type": "guid"},
                    {"name": "threatInfo_sha1_s", "type": "string"},
                ],
            },
        },
    }
    given = parameters("SentinelOne", migratedTables=["SentinelOne_CL"])
    for _ in range(2):
        azure.deploy(template, given)
    have = columns(azure, "SentinelOne_CL")
    assert not {"Computer", "MG", "ManagementGroupName", "RawData"} & have.keys()
    assert have["TimeGenerated"] == "dateTime"
    assert have["Connection_s"] == "string"
    rule = next(body for name, body in azure.of_type(RULES).items() if name.endswith("sentinelone"))
    cast = {
        name
        for flow in rule["properties"]["dataFlows"]
        for name in re.findall(r"toguid\((\w+)\)", flow["transformKql"])
    }
    assert cast == {"activityUuid_g"} == {name for name, kind in have.items() if kind == "guid"}
    assert have["threatInfo_md5_g"] == "string"


def test_a_new_table_has_text_for_guids(template: dict[str, Any], azure: Azure) -> None:
    """Without a migration the columns are strings, and no cast stands in the way."""
    azure.deploy(template, parameters("OneLogin"))
    assert columns(azure, "OneLogin_CL")["uuid_g"] == "string"
    azure.deploy(template, parameters("SentinelOne"))
    have = columns(azure, "SentinelOne_CL")
    assert have["threatInfo_md5_g"] == have["Computer"] == have["RawData"] == "string"
    rule = next(body for name, body in azure.of_type(RULES).items() if name.endswith("onelogin"))
    assert "toguid" not in rule["properties"]["dataFlows"][0]["transformKql"]


def test_the_column_of_uncertain_name_has_a_switch(template: dict[str, Any], azure: Azure) -> None:
    """data_userName_s is neither a column nor sent, unless it is asked for."""
    azure.deploy(template, parameters("SentinelOne"))
    assert "data_userName_s" not in columns(azure, "SentinelOne_CL")
    rule = next(body for name, body in azure.of_type(RULES).items() if name.endswith("sentinelone"))
    for flow in rule["properties"]["dataFlows"]:
        if "data_userName_s" in flow["transformKql"]:
            assert flow["transformKql"].endswith("| project-away data_userName_s")
    azure.tags.clear()
    azure.deploy(template, parameters("SentinelOne", includeDataUserNameColumn=True))
    assert columns(azure, "SentinelOne_CL")["data_userName_s"] == "string"


def test_two_deployments_share_a_workspace(template: dict[str, Any], azure: Azure) -> None:
    """With two name prefixes nothing but tables and parsers is written by both."""
    azure.deploy(template, parameters("Jira"))
    first = set(azure.put)
    azure.deploy(template, parameters("Jira", namePrefix="second"))
    both = first & set(azure.put)
    kinds = {azure.resources[identity]["type"] for identity in both if identity in azure.resources}
    assert kinds <= {TABLES, "Microsoft.OperationalInsights/workspaces/savedSearches"}
    assert len(azure.of_type(PAGES)) == 2


def test_a_ready_instance_for_the_webhook_is_an_option(
    template: dict[str, Any], azure: Azure
) -> None:
    """alwaysReadyWebhook keeps one instance of the HTTP functions."""
    azure.deploy(template, parameters("OneLogin", alwaysReadyWebhook=True))
    (body,) = azure.of_type("Microsoft.Web/sites").values()
    scale = body["properties"]["functionAppConfig"]["scaleAndConcurrency"]
    assert scale["alwaysReady"] == [{"name": "http", "instanceCount": 1}]


def test_the_workspace_may_be_in_another_group(azure: Azure) -> None:
    """The variant puts what belongs to the workspace into its group, the app into its own."""
    variant = source.build(elsewhere=True)
    azure.deploy(
        variant, parameters("SentinelOne", "Jira", workspaceResourceGroup="security"), group="apps"
    )
    in_group = {
        body["type"]: identity.split("/resourcegroups/")[1].split("/")[0]
        for identity, body in azure.resources.items()
    }
    assert in_group[TABLES] == in_group[ALERTS] == in_group[PAGES] == "security"
    assert in_group["Microsoft.Web/sites"] == in_group[RULES] == "apps"
