"""The app's settings and its code.

Settings are merged, never replaced: a nested deployment receives those that the app has and
writes them back under ours. So the app must exist first, which is why they are not part of it.
"""

from __future__ import annotations

from shared.settings.app import HEALTH_RULE
from shared.settings.setting import Setting
from tools.template import app, connections
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
from tools.template.roles import IDENTITY, ROLES
from tools.template.sections import Section, health, secret_names, sections

SETTINGS_DEPLOYMENT = "settings"


def resources() -> list[Json]:
    """The settings, after the rules whose ids they hold; then the code, which needs them."""
    return [_settings(), _code()]


def _settings() -> Json:
    current = resource_id("Microsoft.Web/sites/config", variable("app"), "'appsettings'")
    groups = [
        _common(),
        connections.settings(),
        *(group for section in sections() for group in _of(section)),
    ]
    rules = [rule_id(section) for section in sections() if section.rule_setting]
    return nested(
        SETTINGS_DEPLOYMENT,
        depends_on=[
            app.NO_BASIC_PUBLISHING,
            app.STORAGE,
            IDENTITY,
            app.INSIGHTS,
            ENDPOINT,
            *rules,
            *(app.secret_id(name) for name in secret_names()),
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
    client = f"reference({IDENTITY}, '{IDENTITY_API}').clientId"
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
            HEALTH_RULE: f"reference({rule_id(health())}, '{RULES_API}').immutableId",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": insights,
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": (
                f"concat('ClientId=', {client}, ';Authorization=AAD')"
            ),
        }
    )


def _of(section: Section) -> list[str]:
    """A section's settings as objects to unite: those that it needs together, others if given."""
    if section.condition is None or section.rule_setting is None:
        return []
    required = [each for each in section.settings.values() if each.required]
    together = {
        each.name: _value(each) for each in required if each.secret or each == section.switch
    }
    rule = {section.rule_setting: f"reference({rule_id(section)}, '{RULES_API}').immutableId"}
    groups = [
        either(section.condition, create_object(rule), "createObject()"),
        either(section.without_name, create_object(together), "createObject()"),
    ]
    for each in section.settings.values():
        if each.name in together:
            continue
        # Written only where given: an empty one must not replace what a person set in the portal,
        # and a reference to a secret that does not exist reaches the app as its literal text.
        given = f"not(empty({parameter(each.name)}))"
        wanted = f"and({section.without_name}, {given})" if each.required else given
        groups.append(either(wanted, create_object({each.name: _value(each)}), "createObject()"))
    return groups


def _value(setting: Setting) -> str:
    return _in_vault(setting.vault_name) if setting.secret else parameter(setting.name)


def _in_vault(secret: str) -> str:
    """A reference without a version: a changed secret is read within a day, or at a restart."""
    return f"concat('@Microsoft.KeyVault(SecretUri=', {variable('vaultUri')}, 'secrets/{secret})')"


def _code() -> Json:
    return {
        "type": "Microsoft.Web/sites/extensions",
        "apiVersion": "2022-09-01",
        "name": value(f"concat({variable('app')}, '/onedeploy')"),
        "dependsOn": [
            value(item) for item in (app.APP, OWN_GROUP.nested_id(SETTINGS_DEPLOYMENT), ROLES)
        ],
        # The package holds its dependencies: nothing is built in Azure.
        "properties": {"packageUri": value(variable("package")), "remoteBuild": False},
    }
