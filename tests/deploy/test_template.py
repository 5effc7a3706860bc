"""azuredeploy.json carried out in an Azure in memory, for every combination of connectors."""

from __future__ import annotations

import copy
import itertools
import json
import re
from typing import Any

import pytest

from tests.deploy.arm_language import TemplateError, is_expression, parse
from tests.deploy.azure import SUFFIXES, Azure
from tests.deploy.conftest import GIVEN, SECRETS, azure_with_workspace, parameters
from tools import template as source
from tools.content import load_tables

COMBINATIONS = [
    combination
    for size in range(len(GIVEN) + 1)
    for combination in itertools.combinations(GIVEN, size)
]
RULES = "Microsoft.Insights/dataCollectionRules"
TABLES = "Microsoft.OperationalInsights/workspaces/tables"
ALERTS = "Microsoft.SecurityInsights/alertRules"
PAGES = "Microsoft.SecurityInsights/dataConnectorDefinitions"
# https://learn.microsoft.com/azure/azure-functions/functions-app-settings, for Flex Consumption
FORBIDDEN = re.compile(
    r"(FUNCTIONS_(EXTENSION_VERSION|WORKER_\w+|MAX_HTTP_CONCURRENCY)|WEBSITE_(CONTENT\w*|RUN_FROM"
    r"_PACKAGE|NODE_DEFAULT_VERSION|DNS_SERVER|VNET_ROUTE_ALL|MAX_DYNAMIC\w+|SKIP_CONTENT\w+)|"
    r"SCM_DO_BUILD_DURING_DEPLOYMENT|ENABLE_ORYX_BUILD)$"
)


def strings(data: Any) -> list[str]:
    """Every string in a template, keys included."""
    if isinstance(data, dict):
        return [*data, *(text for value in data.values() for text in strings(value))]
    if isinstance(data, list):
        return [text for value in data for text in strings(value)]
    return [data] if isinstance(data, str) else []


def names(azure: Azure, resource_type: str) -> list[str]:
    return sorted(identity.rsplit("/", 1)[1] for identity in azure.of_type(resource_type))


def site(azure: Azure) -> dict[str, Any]:
    (body,) = azure.of_type("Microsoft.Web/sites").values()
    return body


def test_the_committed_files_are_what_their_source_makes() -> None:
    """`make template` has been run since sentinel/ or the template's source changed."""
    assert source.main(["--check"]) == 0


def test_every_expression_is_well_formed(template: dict[str, Any]) -> None:
    """No expression has a fault that Azure would find only on the day of a deployment."""
    expressions = [text for text in strings(template) if is_expression(text)]
    for text in expressions:
        parse(text[1:-1])
    assert len(expressions) > 100


def test_a_parameter_and_a_variable_is_used(template: dict[str, Any]) -> None:
    """Nothing is asked of a person that has no effect."""
    text = json.dumps(template)
    for kind in ("parameters", "variables"):
        for name in template[kind]:
            assert f"{kind}('{name}')" in text, name


@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda names: "+".join(names) or "none")
def test_a_combination_of_connectors_deploys_and_deploys_again(
    template: dict[str, Any], azure: Azure, combination: tuple[str, ...]
) -> None:
    """Each combination resolves in order, makes its own sections only, and can be repeated."""
    azure.deploy(template, parameters(*combination))
    rules = {name.removeprefix("seclogs-") for name in names(azure, RULES)}
    assert rules == {"health", *(connector.lower() for connector in combination)}
    tables = names(azure, TABLES)
    assert ("sentinelone_cl" in tables) == ("SentinelOne" in combination)
    assert ("onelogin_cl" in tables) == ("OneLogin" in combination)
    assert ("jira_audit_cl" in tables) == ("Jira" in combination)
    assert ("trapeye_threats_cl" in tables) == ("TrapEye" in combination)
    assert len(azure.of_type(PAGES)) == len(combination)
    assert len(azure.of_type("Microsoft.KeyVault/vaults/secrets")) == len(
        set(combination) - {"TrapEye"}
    )
    before = copy.deepcopy((azure.resources, azure.app_settings, azure.tags))
    azure.deploy(template, parameters(*combination))
    assert (azure.resources, azure.app_settings, azure.tags) == before


def test_each_table_is_filled_by_a_rule_that_knows_every_stream(
    template: dict[str, Any], azure: Azure
) -> None:
    """All declared streams are in the rules, each with its transform, and flow to their table."""
    azure.deploy(template, parameters(*GIVEN))
    flows = {
        flow["streams"][0]: flow
        for rule in azure.of_type(RULES).values()
        for flow in rule["properties"]["dataFlows"]
    }
    declared = {s.name: t for t in load_tables() for s in t.streams.values()}
    assert {stream: f"Custom-{table.name}" for stream, table in declared.items()} == {
        stream: flow["outputStream"] for stream, flow in flows.items()
    }
    for rule in azure.of_type(RULES).values():
        assert set(rule["properties"]["streamDeclarations"]) == {
            flow["streams"][0] for flow in rule["properties"]["dataFlows"]
        }
        assert len(rule["properties"]["dataFlows"]) <= 10
    for flow in flows.values():
        assert flow["transformKql"].startswith("source")
        assert "\n" not in flow["transformKql"]
        assert "//" not in re.sub(r"'[^']*'|\"[^\"]*\"", "", flow["transformKql"])
        assert len(flow["transformKql"]) <= 15_360


def test_the_app_is_told_where_to_send_and_finds_its_secrets_in_the_vault(
    template: dict[str, Any], azure: Azure
) -> None:
    """Settings name the endpoint, each rule and the identity; secrets are references only."""
    outputs = azure.deploy(template, parameters(*GIVEN))
    settings = azure.app_settings
    assert settings["LogsIngestionEndpoint"].startswith("https://")
    for setting in (
        "SentinelOneRuleId",
        "OneLoginRuleId",
        "JiraAuditRuleId",
        "ConnectorHealthRuleId",
    ):
        assert settings[setting].startswith("dcr-")
    for secret in ("SentinelOneAPIToken", "JiraAccessToken", "OneLoginBearerToken"):
        vault = f"https://{outputs['keyVaultName']}.vault.azure.net/"
        assert settings[secret] == f"@Microsoft.KeyVault(SecretUri={vault}secrets/{secret})"
    assert settings["AzureWebJobsStorage__credential"] == "managedidentity"
    assert settings["AZURE_CLIENT_ID"] == settings["AzureWebJobsStorage__clientId"]
    assert settings["AZURE_CLIENT_ID"] in settings["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"]
    assert "OneLoginBearerTokenSecondary" not in settings
    assert outputs["oneLoginWebhookUrl"].endswith("/api/OneLoginWebhook")


def test_a_secret_stands_in_key_vault_and_nowhere_else(
    template: dict[str, Any], azure: Azure
) -> None:
    """No secret reaches a setting, an output, a tag or another resource."""
    outputs = azure.deploy(template, parameters(*GIVEN))
    vault = azure.of_type("Microsoft.KeyVault/vaults/secrets")
    assert sorted(body["properties"]["value"] for body in vault.values()) == sorted(SECRETS)
    others = [body for identity, body in azure.resources.items() if identity not in vault]
    seen = json.dumps([others, azure.app_settings, azure.tags, outputs])
    assert not [secret for secret in SECRETS if secret in seen]


def test_secret_parameters_are_secure_and_have_no_default(template: dict[str, Any]) -> None:
    """The deployment's history shows no secret."""
    for name, definition in template["parameters"].items():
        if re.search("token|key|secret|password", name, re.IGNORECASE):
            assert definition["type"] == "secureString", name
            assert definition["defaultValue"] == "", name


def test_flex_consumption_is_given_nothing_it_refuses(
    template: dict[str, Any], azure: Azure
) -> None:
    """Runtime, storage and scale stand in functionAppConfig, never in settings or siteConfig."""
    azure.deploy(template, parameters(*GIVEN))
    assert not [name for name in azure.app_settings if FORBIDDEN.fullmatch(name)]
    properties = site(azure)["properties"]
    assert not {"linuxFxVersion", "alwaysOn", "appSettings"} & set(properties["siteConfig"])
    config = properties["functionAppConfig"]
    assert config["runtime"] == {"name": "python", "version": "3.13"}
    storage = config["deployment"]["storage"]
    assert storage["type"] == "blobContainer"
    assert storage["value"].endswith("/app-package")
    assert storage["authentication"]["type"] == "UserAssignedIdentity"
    assert config["scaleAndConcurrency"]["alwaysReady"] == []


def test_storage_takes_identities_only(template: dict[str, Any], azure: Azure) -> None:
    """No shared keys, no public blobs, no old TLS."""
    azure.deploy(template, parameters("Jira"))
    (account,) = azure.of_type("Microsoft.Storage/storageAccounts").values()
    assert account["properties"]["allowSharedKeyAccess"] is False
    assert account["properties"]["allowBlobPublicAccess"] is False
    assert account["properties"]["minimumTlsVersion"] == "TLS1_2"
    containers = "Microsoft.Storage/storageAccounts/blobServices/containers"
    assert names(azure, containers) == ["app-package", "dead-letters", "leases", "spool"]
    queues = "Microsoft.Storage/storageAccounts/queueServices/queues"
    assert names(azure, queues) == ["connection-polls", "delivery-retry"]


def test_dead_letters_alone_are_deleted_after_a_while(
    template: dict[str, Any], azure: Azure
) -> None:
    """Dead letters end after their days; spooled records, not delivered yet, stay."""
    azure.deploy(template, parameters("Jira", deadLetterDays=45))
    (policy,) = azure.of_type("Microsoft.Storage/storageAccounts/managementPolicies").values()
    (rule,) = policy["properties"]["policy"]["rules"]
    assert rule["definition"]["filters"]["prefixMatch"] == ["dead-letters/"]
    assert rule["definition"]["actions"]["baseBlob"]["delete"] == {
        "daysAfterModificationGreaterThan": 45
    }


def test_each_role_is_the_least_on_the_least(template: dict[str, Any], azure: Azure) -> None:
    """The app's identity has roles on its own resources only, TrapEye on its rule only."""
    azure.deploy(template, parameters(*GIVEN))
    app: list[tuple[str, str]] = []
    trapeye: list[tuple[str, str]] = []
    for body in azure.of_type("Microsoft.Authorization/roleAssignments").values():
        kind = body["scope"].split("/providers/")[1].split("/")[1]
        scope = body["scope"].rsplit("/", 1)[1]
        role = body["properties"]["roleDefinitionId"].rsplit("/", 1)[1]
        principal = body["properties"]["principalId"]
        assert body["properties"]["principalType"] == "ServicePrincipal"
        place = scope if kind == "dataCollectionRules" else kind
        (trapeye if principal.startswith("2222") else app).append((place, role[:8]))
    publisher = "3913510d"
    assert trapeye == [("seclogs-trapeye", publisher)]
    assert sorted(app) == sorted(
        [
            ("storageAccounts", "b7e6dc6d"),
            ("storageAccounts", "974c5e8b"),
            ("storageAccounts", "0a9a7e1f"),
            ("vaults", "4633458b"),
            ("components", publisher),
            *((f"seclogs-{n}", publisher) for n in ("sentinelone", "onelogin", "jira", "health")),
        ]
    )


def test_code_is_deployed_after_roles_and_settings(template: dict[str, Any], azure: Azure) -> None:
    """The app's first start finds storage, secrets and rules open to it."""
    azure.deploy(template, parameters(*GIVEN, packageVersion="9.8.7"))
    (code,) = azure.of_type("Microsoft.Web/sites/extensions").values()
    assert code["properties"]["packageUri"].endswith("/v9.8.7/released-package.zip")
    assert code["properties"]["remoteBuild"] is False
    at = azure.put.index(next(identity for identity in azure.put if "/onedeploy" in identity))
    late = [identity for identity in azure.put[at:] if "/roleassignments/" in identity]
    needed = [identity for identity in late if "/datacollectionrules/" not in identity]
    assert not needed
    assert any(identity.endswith("/config/appsettings") for identity in azure.put[:at])


def test_errors_of_rules_are_logged_to_the_workspace(
    template: dict[str, Any], azure: Azure
) -> None:
    """A record that a transform cannot take shows in DCRLogErrors."""
    azure.deploy(template, parameters(*GIVEN))
    logged = azure.of_type("Microsoft.Insights/diagnosticSettings").values()
    assert {body["scope"].lower() for body in logged} == set(azure.of_type(RULES))
    assert all(
        body["properties"]["logs"] == [{"category": "LogErrors", "enabled": True}]
        for body in logged
    )


@pytest.mark.parametrize("cloud", SUFFIXES)
def test_a_cloud_has_its_own_addresses(template: dict[str, Any], cloud: str) -> None:
    """Government and China get their vault's suffix and their audience, and no public address."""
    azure = azure_with_workspace(cloud)
    outputs = azure.deploy(template, parameters(*GIVEN))
    assert SUFFIXES[cloud] in azure.app_settings["SentinelOneAPIToken"]
    suffix = {"AzureCloud": "com", "AzureUSGovernment": "us", "AzureChinaCloud": "cn"}[cloud]
    assert outputs["logsIngestionAudience"] == f"https://monitor.azure.{suffix}"
    if cloud != "AzureCloud":
        written = json.dumps([*azure.of_type("Microsoft.Web/sites").values(), azure.app_settings])
        assert not re.search(r"core\.windows\.net|vault\.azure\.net|monitor\.azure\.com", written)


def test_trapeye_alone_gets_what_is_pasted_into_it(template: dict[str, Any], azure: Azure) -> None:
    """The outputs are what docs/trapeye.md says to paste."""
    outputs = azure.deploy(template, parameters("TrapEye"))
    assert outputs["trapEyeRuleId"].startswith("dcr-")
    assert outputs["logsIngestionEndpoint"].startswith("https://")
    assert outputs["tenantId"] == "tenant"
    assert outputs["oneLoginWebhookUrl"] == ""


def test_an_unknown_parameter_is_refused(template: dict[str, Any], azure: Azure) -> None:
    """The Azure in memory is as strict as the real one."""
    with pytest.raises(TemplateError, match="no such parameter"):
        azure.deploy(template, parameters("Jira", JiraUrl="https://acme.atlassian.net"))
