"""The app's settings and its code.

Settings are merged, never replaced: a nested deployment receives those that the app has and
writes them back under ours. So the app must exist first, which is why they are not part of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from tools.template import app
from tools.template.arm import (
    IDENTITY_API,
    OWN_GROUP,
    RULES_API,
    SITES_API,
    STORAGE_API,
    Json,
    create_object,
    either,
    nested,
    parameter,
    quoted,
    resource_id,
    value,
    variable,
)
from tools.template.ingestion import ENDPOINT, rule_id
from tools.template.sections import HEALTH, SECTIONS

SETTINGS_DEPLOYMENT = "settings"
_PLAIN = {
    "SentinelOne": ("SentinelOneUrl",),
    "Jira": ("JiraHomeSiteName",),
    "OneLogin": (),
}
_SECRET = {
    "SentinelOne": "SentinelOneAPIToken",
    "Jira": "JiraAccessToken",
    "OneLogin": "OneLoginBearerToken",
}
# Only written when given: what stands there otherwise is a person's choice, or the default.
_OPTIONAL = ("SentinelOneStreams", "JiraUsername")


def resources() -> list[Json]:
    """The settings, after the rules whose ids they hold; then the code, which needs them."""
    return [_settings(), _code()]


def _settings() -> Json:
    current = resource_id("Microsoft.Web/sites/config", variable("app"), "'appsettings'")
    groups = [_common(), *(_of_connectors()), *_optional()]
    rules = [rule_id(section) for section in SECTIONS if section.rule_setting]
    return nested(
        SETTINGS_DEPLOYMENT,
        depends_on=[
            app.APP,
            app.STORAGE,
            app.IDENTITY,
            app.INSIGHTS,
            ENDPOINT,
            *rules,
            *(app.secret_id(name) for name in app.SECRETS),
        ],
        parameters={
            "app": variable("app"),
            "existing": (f"coalesce(list({current}, '{SITES_API}').properties, createObject())"),
            "given": parameter("appSettings"),
            "ours": f"union({', '.join(groups)})",
        },
        template={
            "parameters": {
                "app": {"type": "string", "metadata": {"description": "The app's name."}},
                "existing": {
                    "type": "secureObject",
                    "metadata": {"description": "The settings that the app has now."},
                },
                "given": {
                    "type": "object",
                    "metadata": {"description": "Further settings that a person gave."},
                },
                "ours": {
                    "type": "secureObject",
                    "metadata": {"description": "The settings that this deployment makes."},
                },
            },
            "resources": [
                {
                    "type": "Microsoft.Web/sites/config",
                    "apiVersion": SITES_API,
                    "name": "[concat(parameters('app'), '/appsettings')]",
                    "properties": (
                        "[union(parameters('existing'), parameters('given'), parameters('ours'))]"
                    ),
                }
            ],
        },
    )


def _common() -> str:
    endpoints = f"reference({app.STORAGE}, '{STORAGE_API}').primaryEndpoints"
    client = f"reference({app.IDENTITY}, '{IDENTITY_API}').clientId"
    insights = f"reference({app.INSIGHTS}, '2020-02-02').ConnectionString"
    return create_object(
        {
            # Whole addresses, not accountName: the suffix differs between Azure's clouds.
            "AzureWebJobsStorage__blobServiceUri": f"{endpoints}.blob",
            "AzureWebJobsStorage__queueServiceUri": f"{endpoints}.queue",
            "AzureWebJobsStorage__tableServiceUri": f"{endpoints}.table",
            "AzureWebJobsStorage__credential": quoted("managedidentity"),
            "AzureWebJobsStorage__clientId": client,
            "AZURE_CLIENT_ID": client,
            "KeyVaultUri": variable("vaultUri"),
            # A post waits for Azure Monitor, not for the processor: a core serves many at once.
            "PYTHON_THREADPOOL_THREAD_COUNT": quoted("32"),
            "LogsIngestionEndpoint": f"reference({ENDPOINT}, '{RULES_API}').logsIngestion.endpoint",
            "ConnectorHealthRuleId": f"reference({rule_id(HEALTH)}, '{RULES_API}').immutableId",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": insights,
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": (
                f"concat('ClientId=', {client}, ';Authorization=AAD')"
            ),
        }
    )


def _of_connectors() -> list[str]:
    groups = []
    for section in SECTIONS:
        if section.key not in _SECRET or section.condition is None or not section.rule_setting:
            continue
        secret = _SECRET[section.key]
        members: Mapping[str, str] = {
            **{name: parameter(name) for name in _PLAIN[section.key]},
            secret: _in_vault(secret),
            section.rule_setting: f"reference({rule_id(section)}, '{RULES_API}').immutableId",
        }
        groups.append(either(section.condition, create_object(members), "createObject()"))
    second = "OneLoginBearerTokenSecondary"
    # A reference to a secret that does not exist would reach the app as its literal text.
    groups.append(
        either(
            f"empty({parameter(second)})",
            "createObject()",
            create_object({second: _in_vault(second)}),
        )
    )
    return groups


def _optional() -> list[str]:
    return [
        either(
            f"empty({parameter(name)})", "createObject()", create_object({name: parameter(name)})
        )
        for name in _OPTIONAL
    ]


def _in_vault(secret: str) -> str:
    """A reference without a version: a changed secret is read within a day, or at a restart."""
    return f"concat('@Microsoft.KeyVault(SecretUri=', {variable('vaultUri')}, 'secrets/{secret})')"


def _code() -> Json:
    return {
        "type": "Microsoft.Web/sites/extensions",
        "apiVersion": "2022-09-01",
        "name": value(f"concat({variable('app')}, '/onedeploy')"),
        "dependsOn": [
            value(item)
            for item in (app.APP, OWN_GROUP.nested_id(SETTINGS_DEPLOYMENT), *app.ROLE_IDS)
        ],
        # The package holds its dependencies: nothing is built in Azure.
        "properties": {"packageUri": value(variable("package")), "remoteBuild": False},
    }
