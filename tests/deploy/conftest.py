"""A template, an Azure to carry it out, and what a person would fill in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.deploy.azure import Azure, group_id
from tools import project

GIVEN: dict[str, dict[str, Any]] = {
    "SentinelOne": {
        "SentinelOneUrl": "https://acme.sentinelone.net",
        "SentinelOneAPIToken": "sentinelone-secret",
    },
    "Jira": {
        "JiraHomeSiteName": "acme",
        "JiraUsername": "audit@acme.example",
        "JiraAccessToken": "jira-secret",
    },
    "OneLogin": {"OneLoginBearerToken": "onelogin-secret"},
    "TrapEye": {"TrapEyeObjectId": "22222222-2222-2222-2222-222222222222"},
}
SECRETS = ("sentinelone-secret", "jira-secret", "onelogin-secret")
WORKSPACE = f"{group_id('security')}/providers/Microsoft.OperationalInsights/workspaces/soc".lower()


def parameters(*connectors: str, **more: Any) -> dict[str, Any]:
    """The parameters that a person gives who wants these connectors."""
    given: dict[str, Any] = {"workspaceName": "soc"}
    for connector in connectors:
        given.update(GIVEN[connector])
    return {**given, **more}


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    """The committed template."""
    text = (project.ROOT / "azuredeploy.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@pytest.fixture
def azure() -> Azure:
    """A subscription whose resource group has a workspace, and nothing else."""
    return azure_with_workspace()


def azure_with_workspace(cloud: str = "AzureCloud") -> Azure:
    """The same in another of Azure's clouds."""
    made = Azure(cloud)
    made.resources[WORKSPACE] = {
        "type": "Microsoft.OperationalInsights/workspaces",
        "properties": {},
    }
    return made
