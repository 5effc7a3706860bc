"""The function app and what it stands on: identity, storage, Key Vault, Application Insights.

The identity is user-assigned: it exists before the app, so that its roles can, and the app's
first start finds storage and secrets open to it.
https://learn.microsoft.com/azure/azure-functions/flex-consumption-how-to
"""

from __future__ import annotations

from tools.template import network, private_endpoints, roles
from tools.template.arm import (
    IDENTITY_API,
    SITES_API,
    STORAGE_API,
    Json,
    either,
    parameter,
    quoted,
    resource_id,
    value,
    variable,
)
from tools.template.roles import IDENTITY, ROLES
from tools.template.sections import secret_names

STORAGE = resource_id("Microsoft.Storage/storageAccounts", variable("storage"))
VAULT = resource_id("Microsoft.KeyVault/vaults", variable("vault"))
INSIGHTS = resource_id("Microsoft.Insights/components", variable("insights"))
PLAN = resource_id("Microsoft.Web/serverfarms", variable("plan"))
APP = resource_id("Microsoft.Web/sites", variable("app"))
CODE_CONTAINER = "app-package"
# Refused records, records too large for the queue, and each connection's lease.
CONTAINERS = (CODE_CONTAINER, "dead-letters", "spool", "leases")
QUEUES = ("delivery-retry", "connection-polls")
CHECKPOINTS = "ConnectorCheckpoints"
_POLICIES = ("ftp", "scm")
# The app's configuration is written by one resource at a time: the first of these after the app,
# the next after it, settings after the last.
NO_BASIC_PUBLISHING = resource_id(
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies",
    variable("app"),
    quoted(_POLICIES[-1]),
)


def resources() -> list[Json]:
    """Everything but the app's settings and code, which need the rules' ids."""
    return [
        _identity(),
        *_storage(),
        *_vault(),
        _insights(),
        roles.on_what_the_app_uses([STORAGE, VAULT, INSIGHTS]),
        _plan(),
        _site(),
        *_no_basic_publishing(),
    ]


def secret_id(name: str) -> str:
    """The expression of a secret's id."""
    return resource_id("Microsoft.KeyVault/vaults/secrets", variable("vault"), f"'{name}'")


def _identity() -> Json:
    return {
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
        "apiVersion": IDENTITY_API,
        "name": value(variable("identity")),
        "location": value(parameter("location")),
    }


def _storage() -> list[Json]:
    container = "Microsoft.Storage/storageAccounts/blobServices/containers"
    return [
        {
            "type": "Microsoft.Storage/storageAccounts",
            "apiVersion": STORAGE_API,
            "name": value(variable("storage")),
            "location": value(parameter("location")),
            "kind": "StorageV2",
            "sku": {"name": "Standard_LRS"},
            "properties": {
                "allowSharedKeyAccess": False,
                "allowBlobPublicAccess": False,
                "allowCrossTenantReplication": False,
                "defaultToOAuthAuthentication": True,
                "minimumTlsVersion": "TLS1_2",
                "supportsHttpsTrafficOnly": True,
                # Null leaves it as a person has it.
                "publicNetworkAccess": value(either(network.PRIVATE, "'Disabled'", "null()")),
            },
        },
        *(
            _in_storage(container, f"/default/{name}", {"publicAccess": "None"})
            for name in CONTAINERS
        ),
        *(
            _in_storage(
                "Microsoft.Storage/storageAccounts/queueServices/queues", f"/default/{name}"
            )
            for name in QUEUES
        ),
        _in_storage(
            "Microsoft.Storage/storageAccounts/tableServices/tables", f"/default/{CHECKPOINTS}"
        ),
        _in_storage(
            "Microsoft.Storage/storageAccounts/managementPolicies",
            "/default",
            {"policy": {"rules": [_clean_up()]}},
        ),
    ]


def _in_storage(resource_type: str, name: str, properties: Json | None = None) -> Json:
    return {
        "type": resource_type,
        "apiVersion": STORAGE_API,
        "name": value(f"concat({variable('storage')}, '{name}')"),
        "dependsOn": [value(STORAGE)],
        "properties": properties or {},
    }


def _clean_up() -> Json:
    days = {"daysAfterModificationGreaterThan": value(parameter("deadLetterDays"))}
    # The spool has no end: what is in it was not delivered yet.
    return {
        "name": "delete-old-dead-letters",
        "enabled": True,
        "type": "Lifecycle",
        "definition": {
            "filters": {"blobTypes": ["blockBlob"], "prefixMatch": ["dead-letters/"]},
            "actions": {"baseBlob": {"delete": days}},
        },
    }


def _vault() -> list[Json]:
    return [
        {
            "type": "Microsoft.KeyVault/vaults",
            "apiVersion": "2023-07-01",
            "name": value(variable("vault")),
            "location": value(parameter("location")),
            "properties": {
                "tenantId": "[subscription().tenantId]",
                "sku": {"family": "A", "name": "standard"},
                "enableRbacAuthorization": True,
                "enableSoftDelete": True,
                "publicNetworkAccess": value(either(network.PRIVATE, "'Disabled'", "null()")),
            },
        },
        *(
            {
                # Without a value the secret stays as it is.
                "condition": value(f"not(empty({parameter(name)}))"),
                "type": "Microsoft.KeyVault/vaults/secrets",
                "apiVersion": "2023-07-01",
                "name": value(f"concat({variable('vault')}, '/{name}')"),
                "dependsOn": [value(VAULT)],
                "properties": {"value": value(parameter(name))},
            }
            for name in secret_names()
        ),
    ]


def _insights() -> Json:
    return {
        "type": "Microsoft.Insights/components",
        "apiVersion": "2020-02-02",
        "name": value(variable("insights")),
        "location": value(parameter("location")),
        "kind": "web",
        "properties": {
            "Application_Type": "web",
            "WorkspaceResourceId": value(variable("workspaceId")),
            "IngestionMode": "LogAnalytics",
            # Telemetry is taken from identities only, never by the key in the connection string.
            "DisableLocalAuth": True,
        },
    }


def _plan() -> Json:
    return {
        "type": "Microsoft.Web/serverfarms",
        "apiVersion": SITES_API,
        "name": value(variable("plan")),
        "location": value(parameter("location")),
        "kind": "functionapp",
        "sku": {"name": "FC1", "tier": "FlexConsumption"},
        "properties": {"reserved": True},
    }


def _site() -> Json:
    always_ready = "createArray(createObject('name', 'http', 'instanceCount', 1))"
    return {
        "type": "Microsoft.Web/sites",
        "apiVersion": SITES_API,
        "name": value(variable("app")),
        "location": value(parameter("location")),
        "kind": "functionapp,linux",
        "identity": {
            "type": "UserAssigned",
            "userAssignedIdentities": {value(IDENTITY): {}},
        },
        "dependsOn": [
            value(item)
            for item in (
                PLAN,
                IDENTITY,
                STORAGE,
                resource_id(
                    "Microsoft.Storage/storageAccounts/blobServices/containers",
                    variable("storage"),
                    "'default'",
                    f"'{CODE_CONTAINER}'",
                ),
                ROLES,
                # The app's first start finds storage and vault by their private names.
                network.NETWORK,
                private_endpoints.ENDPOINTS,
            )
        ],
        "properties": {
            "serverFarmId": value(PLAN),
            "httpsOnly": True,
            "keyVaultReferenceIdentity": value(IDENTITY),
            "virtualNetworkSubnetId": value(network.subnet_id()),
            "functionAppConfig": {
                "deployment": {
                    "storage": {
                        "type": "blobContainer",
                        "value": value(
                            f"concat(reference({STORAGE}, '{STORAGE_API}').primaryEndpoints.blob, "
                            f"'{CODE_CONTAINER}')"
                        ),
                        "authentication": {
                            "type": "UserAssignedIdentity",
                            "userAssignedIdentityResourceId": value(IDENTITY),
                        },
                    }
                },
                "runtime": {"name": "python", "version": "3.13"},
                "scaleAndConcurrency": {
                    "alwaysReady": value(
                        f"if({parameter('alwaysReadyWebhook')}, {always_ready}, createArray())"
                    ),
                    "instanceMemoryMB": value(parameter("instanceMemoryMB")),
                    "maximumInstanceCount": value(parameter("maximumInstanceCount")),
                },
            },
            # No appSettings here: this would replace those that a person made. See settings.py.
            "siteConfig": {"minTlsVersion": "1.2", "http20Enabled": True},
        },
    }


def _no_basic_publishing() -> list[Json]:
    kind = "Microsoft.Web/sites/basicPublishingCredentialsPolicies"
    made, after = [], APP
    for name in _POLICIES:
        made.append(
            {
                "type": kind,
                "apiVersion": SITES_API,
                "name": value(f"concat({variable('app')}, '/{name}')"),
                "dependsOn": [value(after)],
                "properties": {"allow": False},
            }
        )
        after = resource_id(kind, variable("app"), quoted(name))
    return made
