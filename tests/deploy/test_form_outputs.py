"""What the form of the Deploy button hands to the template, whatever a person did or left alone."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests.deploy.arm_language import TemplateError
from tests.deploy.azure import Azure
from tests.deploy.conftest import GIVEN
from tests.deploy.portal import Portal
from tools import project
from tools.template.sections import sections

FORMS = ("createUiDefinition.json", "createUiDefinition-workspace-elsewhere.json")
TEMPLATES = dict(
    zip(FORMS, ("azuredeploy.json", "azuredeploy-workspace-elsewhere.json"), strict=True)
)
WORKSPACES = {
    "workspaces": {
        "value": [
            {"name": "other", "location": "eastus"},
            {"name": "soc", "location": "westeurope"},
        ]
    }
}
CHOSEN = {
    FORMS[0]: "soc",
    FORMS[1]: {
        "name": "soc",
        "location": "westeurope",
        "id": "/subscriptions/2/resourceGroups/soc-rg/providers/M.O/workspaces/soc",
    },
}
# A choice of many that nobody opened: each of these has been seen.
UNTOUCHED: tuple[Any, ...] = (None, [], "", "[]")


def read(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((project.ROOT / name).read_text(encoding="utf-8"))
    return loaded


def fields(*connectors: str) -> dict[tuple[str, str], Any]:
    """What a person types who wants these connectors; secrets stay empty."""
    filled: dict[tuple[str, str], Any] = {}
    for section in sections():
        if section.key not in connectors:
            continue
        filled[section.camel, "use"] = True
        for field, setting in section.settings.items():
            if setting.name in GIVEN[section.key] and not setting.secret:
                first, *rest = field.split("_")
                element = first + "".join(word.capitalize() for word in rest)
                filled[section.camel, element] = GIVEN[section.key][setting.name]
    return filled


@pytest.mark.parametrize("untouched", UNTOUCHED, ids=repr)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "connectors",
    [each for size in range(5) for each in itertools.combinations(GIVEN, size)],
    ids=lambda names: "+".join(names) or "none",
)
def test_outputs_fit_the_templates_parameters_in_every_state(
    form: str, connectors: tuple[str, ...], untouched: Any
) -> None:
    """Every output has a value of its parameter's type, hidden elements or not."""
    filled = fields(*connectors)
    for workspace in (CHOSEN[form], None):
        state = {**filled, ("workspace", "workspace"): workspace}
        if workspace is None and form == FORMS[1]:
            continue  # the selector is required, and nothing else reads it
        outputs = Portal(read(form), state, WORKSPACES, untouched).outputs()
        kinds = {"string": str, "securestring": str, "int": int, "bool": bool, "array": list}
        declared = read(TEMPLATES[form])["parameters"]
        for name, given in outputs.items():
            assert isinstance(given, kinds[declared[name]["type"].lower()]), (name, given)
        assert outputs["migratedTables"] == []
        assert outputs["SentinelOneAPIToken"] == ""
        assert outputs["useOneLogin"] is ("OneLogin" in connectors)


def test_what_is_chosen_arrives(template: dict[str, Any], azure: Azure) -> None:
    """The workspace brings its region, tables are an array, and the deployment takes it all."""
    filled = {
        **fields(*GIVEN),
        ("workspace", "workspace"): "soc",
        ("workspace", "migratedTables"): ["OneLogin_CL"],
        ("sentinelOne", "apiToken"): "sentinelone-secret",
        ("oneLogin", "alwaysReady"): True,
    }
    outputs = Portal(read(FORMS[0]), filled, WORKSPACES).outputs()
    assert outputs["workspaceName"] == "soc"
    assert outputs["workspaceLocation"] == "westeurope"
    assert outputs["migratedTables"] == ["OneLogin_CL"]
    assert outputs["alwaysReadyWebhook"] is True
    azure.deploy(template, {**outputs, "migratedTables": []})
    assert "SentinelOneAPIToken" in azure.app_settings


def test_only_workspaces_of_the_chosen_group_can_be_picked() -> None:
    """The list asks for that group's, and offers each by its name."""
    portal = Portal(read(FORMS[0]), {}, WORKSPACES)
    assert portal.requested("workspace", "workspaces").startswith(
        "/subscriptions/1/resourceGroups/security/providers/Microsoft.OperationalInsights/"
    )
    assert [each["value"] for each in portal.choices("workspace", "workspace")] == ["other", "soc"]


def test_a_workspace_elsewhere_brings_its_group_and_subscription() -> None:
    """The second form is for the template that puts the workspace's part into its own group."""
    outputs = Portal(
        read(FORMS[1]), {("workspace", "workspace"): CHOSEN[FORMS[1]]}, WORKSPACES
    ).outputs()
    assert outputs["workspaceResourceGroup"] == "soc-rg"
    assert outputs["workspaceSubscriptionId"] == "2"
    link = read(FORMS[0])["parameters"]["steps"][0]["elements"][2]["options"]["uri"]
    assert all(name.removesuffix(".json") in link for name in (FORMS[1], TEMPLATES[FORMS[1]]))


@pytest.mark.parametrize("form", FORMS)
def test_the_workspaces_own_group_is_taken_and_providers_are_registered(form: str) -> None:
    """A group that is not empty is none to refuse; a subnet's delegation needs Microsoft.App."""
    basics = read(form)["parameters"]["config"]["basics"]
    assert basics["resourceGroup"]["allowExisting"] is True
    assert "Microsoft.App" in basics["subscription"]["resourceProviders"]


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("[and(steps('oneLogin').use, steps('oneLogin').alwaysReady)]", "neither true nor false"),
        ("[steps('oneLogin').alwaysReady.value]", "no member"),
        ("[if(steps('jira').url, 'a', 'b')]", "neither true nor false"),
        ("[union('a', 'b')]", "no function union"),
    ],
)
def test_the_form_in_memory_is_as_strict_as_the_portal(expression: str, says: str) -> None:
    """Hidden elements have no value, and nothing is computed of nothing."""
    form = read(FORMS[0])
    form["parameters"]["outputs"] = {"wrong": expression}
    with pytest.raises(TemplateError, match=says):
        Portal(form, {("oneLogin", "use"): False}, WORKSPACES).outputs()
