"""Deployments that Azure refuses in the middle, and what they leave to the next one."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.deploy.arm_language import Evaluator, TemplateError
from tests.deploy.azure import Azure
from tests.deploy.conftest import GIVEN, azure_with_workspace, parameters
from tests.deploy.refusals import Refused, check
from tests.deploy.test_template import ALERTS, RULES, TABLES, names
from tools import project
from tools.rules import load_rules

SEARCHES = "Microsoft.OperationalInsights/workspaces/savedSearches"
ROLES = "Microsoft.Authorization/roleAssignments"
CODE = "Microsoft.Web/sites/extensions"


def deployed_whole() -> Azure:
    """An Azure in which a whole deployment succeeded at once."""
    azure = azure_with_workspace()
    text = (project.ROOT / "azuredeploy.json").read_text(encoding="utf-8")
    azure.deploy(json.loads(text), parameters(*GIVEN))
    return azure


WHOLE = deployed_whole()


def short(identity: str) -> str:
    return "/".join(identity.rsplit("/providers/", maxsplit=1)[-1].split("/")[1:])[-70:]


def made(azure: Azure) -> dict[str, Any]:
    """All but nested deployments, whose outputs say nothing of what is there."""
    return {
        identity: body
        for identity, body in azure.resources.items()
        if body["type"] != "Microsoft.Resources/deployments"
    }


@pytest.mark.slow
@pytest.mark.parametrize("broken", list(dict.fromkeys(WHOLE.put)), ids=short)
def test_a_run_that_fails_at_any_resource_is_deployed_again_and_ends_well(
    template: dict[str, Any], broken: str
) -> None:
    """The second run makes what the first could not, and all is as if the first had succeeded."""
    azure = azure_with_workspace()
    azure.outage = lambda identity: identity == broken
    with pytest.raises(Refused, match="InternalServerError"):
        azure.deploy(template, parameters(*GIVEN))
    azure.outage = lambda _: False
    azure.deploy(template, parameters(*GIVEN))
    assert (made(azure), azure.app_settings, azure.tags) == (
        made(WHOLE),
        WHOLE.app_settings,
        WHOLE.tags,
    )


def test_a_refused_rule_reinstalls_nothing_else(template: dict[str, Any], azure: Azure) -> None:
    """Each section is noted right after its own content: the next run makes the rest only."""
    azure.deploy(template, parameters(*GIVEN, sentinelContent="never"))
    before = set(made(azure))
    azure.outage = lambda identity: "/alertrules/" in identity and "jira" in rule_name(identity)
    rule_name = _rule_names(template)
    with pytest.raises(Refused, match="alertrules"):
        azure.deploy(template, parameters(*GIVEN))
    assert {"seclogs-SentinelOne", "seclogs-OneLogin", "seclogs-Health"} <= azure.tags.keys()
    assert "seclogs-Jira" not in azure.tags
    tuned = set(azure.of_type(ALERTS)) - before
    azure.outage = lambda _: False
    azure.deploy(template, parameters(*GIVEN))
    again = {identity for identity in azure.put if "/alertrules/" in identity}
    assert again
    assert all("jira" in rule_name(identity) for identity in again)
    assert not {identity for identity in tuned if "jira" not in rule_name(identity)} & again
    assert "seclogs-Jira" in azure.tags


def _rule_names(template: dict[str, Any]) -> Any:
    azure = azure_with_workspace()
    azure.deploy(template, parameters(*GIVEN))
    shown = {
        identity: body["properties"]["displayName"].lower()
        for identity, body in azure.of_type(ALERTS).items()
    }
    return lambda identity: shown[identity]


def test_parsers_are_written_over(template: dict[str, Any], azure: Azure) -> None:
    """A function that exists, by whichever deployment, is no reason to stop."""
    azure.deploy(template, parameters("Jira"))
    azure.deploy(template, parameters("Jira", sentinelContent="always"))
    azure.deploy(template, parameters("Jira", namePrefix="second"))
    assert any(identity.endswith("-jiraaudit") for identity in azure.put)


def test_without_its_etag_a_parser_is_refused(template: dict[str, Any], azure: Azure) -> None:
    """The Azure in memory is as strict as the real one: 409 NewerDataExists."""
    stale = copy.deepcopy(template)
    for deployment in stale["resources"]:
        for each in deployment.get("properties", {}).get("template", {}).get("resources", []):
            if each["type"] == SEARCHES:
                del each["properties"]["etag"]
    azure.deploy(stale, parameters("Jira"))
    with pytest.raises(Refused, match="NewerDataExists"):
        azure.deploy(stale, parameters("Jira", sentinelContent="always"))


def test_rules_are_taken_before_their_tables_were_seen(
    template: dict[str, Any], azure: Azure
) -> None:
    """Sentinel knows no table that this run made, and takes every rule all the same."""
    azure.tables_known_late = True
    azure.deploy(template, parameters(*GIVEN))
    assert len(azure.of_type(ALERTS)) == len(load_rules())


def test_without_its_fuzzy_union_a_rule_is_refused(template: dict[str, Any], azure: Azure) -> None:
    """The Azure in memory is as strict as the real one: a table that was made just now is none."""
    plain = json.loads(json.dumps(template).replace("union isfuzzy=true", "union"))
    azure.tables_known_late = True
    with pytest.raises(Refused, match="Failed to resolve table"):
        azure.deploy(plain, parameters("Jira"))


def test_an_assignment_that_changes_its_principal_is_refused(
    template: dict[str, Any], azure: Azure
) -> None:
    """As a name without the principal's id in its seed would."""
    azure.deploy(template, parameters("Jira"))
    identity, body = next(iter(azure.of_type(ROLES).items()))
    other = copy.deepcopy(body)
    other["properties"]["principalId"] = "another"
    with pytest.raises(Refused, match="RoleAssignmentUpdateNotPermitted"):
        check(azure, identity, other)


def test_lambda_variables_of_one_name_inside_each_other_are_refused() -> None:
    """Azure has one scope for all of an expression's lambdas."""
    inner = "map(createArray(1), lambda('each', lambdaVariables('each')))"
    with pytest.raises(TemplateError, match="lambda variable each"):
        Evaluator({}, {}, {}).value(f"[map(createArray(1), lambda('each', {inner}))]")
    named = inner.replace("each", "other")
    found = Evaluator({}, {}, {}).value(f"[map(createArray(1), lambda('each', {named}))]")
    assert found == [[1]]


def test_code_that_comes_before_its_roles_are_known_holds_up_nothing_else(
    template: dict[str, Any], azure: Azure
) -> None:
    """The code alone is refused, settings and content are there, and the next run brings it."""
    azure.roles_known_late = True
    with pytest.raises(Refused, match="InaccessibleStorageException") as refusal:
        azure.deploy(template, parameters(*GIVEN))
    assert str(refusal.value).count("403") == 1
    assert azure.of_type(ALERTS)
    assert azure.app_settings["KeyVaultUri"]
    azure.deploy(template, parameters(*GIVEN))
    assert len(azure.of_type(CODE)) == 1


def test_code_waits_for_no_content(template: dict[str, Any], azure: Azure) -> None:
    """With Sentinel down the app is there and collects."""
    azure.outage = lambda identity: "microsoft.securityinsights" in identity
    with pytest.raises(Refused, match="securityinsights"):
        azure.deploy(template, parameters(*GIVEN))
    assert len(azure.of_type(CODE)) == 1


def test_a_rule_waits_for_the_app_and_the_tables(template: dict[str, Any], azure: Azure) -> None:
    """Between a table and the rule that writes to it lies the time that the app takes."""
    azure.deploy(template, parameters(*GIVEN))
    first = min(azure.put.index(identity) for identity in azure.of_type(RULES))
    (app,) = azure.of_type("Microsoft.Web/sites")
    assert azure.put.index(app) < first
    assert max(azure.put.index(identity) for identity in azure.of_type(TABLES)) < first
    raw = [each for each in template["resources"] if each["type"] == RULES]
    assert all(any("Microsoft.Web/sites" in d for d in each["dependsOn"]) for each in raw)


def test_an_identity_that_was_made_anew_gets_its_roles(
    template: dict[str, Any], azure: Azure
) -> None:
    """Its principal is another one: it gets assignments of its own, and the old ones stay."""
    azure.deploy(template, parameters(*GIVEN))
    before = set(azure.of_type(ROLES))
    (identity,) = azure.of_type("Microsoft.ManagedIdentity/userAssignedIdentities")
    del azure.resources[identity]
    azure.generation += 1
    azure.deploy(template, parameters(*GIVEN))
    new = {name: body for name, body in azure.of_type(ROLES).items() if name not in before}
    assert len(new) == len(before) - 1  # TrapEye's principal is not the app's
    assert {body["properties"]["principalId"] for body in new.values()} == {
        f"principal-1-of-{identity.rsplit('/', 1)[1]}"
    }


def test_the_apps_configuration_is_written_by_one_at_a_time(template: dict[str, Any]) -> None:
    """Both publishing policies and the settings stand in one line of dependencies."""
    names = {each["name"]: each for each in template["resources"]}
    (scm,) = [each for name, each in names.items() if name.endswith("'/scm')]")]
    (settings,) = [each for name, each in names.items() if "'settings-'" in name]
    assert any("'ftp'" in needed for needed in scm["dependsOn"])
    assert any("'scm'" in needed for needed in settings["dependsOn"])


@pytest.mark.parametrize("prefix", ["sec-", "a--b-", "9-", "seclogs--", "Abc"])
def test_a_prefix_may_end_as_it_likes(template: dict[str, Any], azure: Azure, prefix: str) -> None:
    """Hyphens at its end, or several together, end up in no name that takes none."""
    if prefix[0].isdigit():
        with pytest.raises(Refused, match="VaultNameNotValid"):
            azure.deploy(template, parameters("Jira", namePrefix=prefix))
        return
    azure.deploy(template, parameters("Jira", namePrefix=prefix))
    assert not [identity for identity in azure.put if "--" in identity.rsplit("/", 1)[1]]
    assert names(azure, "Microsoft.KeyVault/vaults")[0].startswith(prefix.lower()[0])


def with_table(azure: Azure, name: str, columns: int, **properties: Any) -> None:
    """A table that the Data Collector made, of so many columns."""
    workspace = next(iter(azure.resources))
    azure.resources[f"{workspace}/tables/{name.lower()}"] = {
        "type": TABLES,
        "properties": {
            "plan": "Analytics",
            "retentionInDays": 90,
            "totalRetentionInDays": 90,
            **properties,
            "schema": {
                "name": name,
                "columns": [
                    {"name": "TimeGenerated", "type": "dateTime"},
                    *({"name": f"Old{n}_s", "type": "string"} for n in range(columns - 1)),
                ],
            },
        },
    }


def test_a_table_that_would_get_too_wide_is_told_before_anything_is_made(
    template: dict[str, Any], azure: Azure
) -> None:
    """The refusal names the table, and not one resource was touched."""
    with_table(azure, "SentinelOne_CL", 400)
    with pytest.raises(TemplateError, match="columnsOfSentinelOne_CL"):
        azure.deploy(template, parameters("SentinelOne", migratedTables=["SentinelOne_CL"]))
    assert azure.put == []


def test_retention_at_the_workspaces_default_stays_there(
    template: dict[str, Any], azure: Azure
) -> None:
    """A default is written back as one, and a number that a person chose as that number."""
    with_table(
        azure,
        "OneLogin_CL",
        3,
        retentionInDaysAsDefault=True,
        totalRetentionInDays=365,
        totalRetentionInDaysAsDefault=False,
    )
    azure.deploy(template, parameters("OneLogin", migratedTables=["OneLogin_CL"]))
    (table,) = [b for i, b in azure.of_type(TABLES).items() if i.endswith("onelogin_cl")]
    assert table["properties"]["retentionInDays"] == -1
    assert table["properties"]["totalRetentionInDays"] == 365
