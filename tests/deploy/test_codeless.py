"""sentinel/codeless/jira.json, the way without a function app."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.deploy.azure import Azure
from tools import project
from tools.template import codeless

GIVEN = {
    "workspaceName": "soc",
    "JiraSite": "acme.atlassian.net",
    "JiraUsername": "audit@acme.example",
    "JiraAccessToken": "jira-secret",
}


@pytest.fixture
def deployed(azure: Azure) -> Azure:
    """An Azure in which the codeless connector has been deployed."""
    text = (project.ROOT / "sentinel" / "codeless" / "jira.json").read_text(encoding="utf-8")
    azure.deploy(json.loads(text), GIVEN)
    return azure


def poller(azure: Azure) -> dict[str, Any]:
    (body,) = azure.of_type("Microsoft.SecurityInsights/dataConnectors").values()
    properties: dict[str, Any] = body["properties"]
    return properties


def test_it_polls_jira_into_the_table_of_the_function(deployed: Azure) -> None:
    """The poller asks for the audit log, page by page, and sends to its own rule."""
    asked = poller(deployed)
    assert asked["request"]["apiEndpoint"] == (
        "https://acme.atlassian.net/rest/api/3/auditing/record"
    )
    assert asked["paging"]["offsetParaName"] == "offset"
    assert asked["dcrConfig"]["dataCollectionRuleImmutableId"].startswith("dcr-")
    (rule,) = deployed.of_type("Microsoft.Insights/dataCollectionRules").values()
    (flow,) = rule["properties"]["dataFlows"]
    assert flow["outputStream"] == "Custom-Jira_Audit_CL"
    assert asked["dcrConfig"]["streamName"] in rule["properties"]["streamDeclarations"]


def test_its_transform_is_that_of_the_function_with_a_time() -> None:
    """Columns are the same; TimeGenerated is the record's time, as the function would set it."""
    (declared,) = codeless.load()
    kql = declared.transform
    assert kql.startswith("source | extend TimeGenerated = now()")
    assert kql.endswith("iif(isnull(created_t), TimeGenerated, created_t)")
    for column in declared.table.columns:
        assert re.search(rf"\b{column}\b", kql), column


def test_its_token_is_a_secure_parameter_and_goes_to_the_poller_alone(deployed: Azure) -> None:
    """Nothing else that is deployed has it."""
    assert poller(deployed)["auth"]["password"] == GIVEN["JiraAccessToken"]
    others = {
        identity: body
        for identity, body in deployed.resources.items()
        if body["type"] != "Microsoft.SecurityInsights/dataConnectors"
    }
    assert GIVEN["JiraAccessToken"] not in json.dumps(others)
