"""What the app's identity may do: the least, on its own resources only.

Roles are assigned by nested deployments that are handed the identity's principal id, since an
assignment's name is made of it (see ``arm.role_assignment``).
"""

from __future__ import annotations

from collections.abc import Sequence

from tools.template.arm import (
    IDENTITY_API,
    OWN_GROUP,
    Json,
    declare,
    nested,
    parameter,
    resource_id,
    role_assignment,
    variable,
)

# Built-in roles: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
STORAGE_BLOB_DATA_OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
STORAGE_QUEUE_DATA_CONTRIBUTOR = "974c5e8b-45b9-4653-ba55-5f855dd0fb88"
STORAGE_TABLE_DATA_CONTRIBUTOR = "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"
KEY_VAULT_SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
MONITORING_METRICS_PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"

IDENTITY = resource_id("Microsoft.ManagedIdentity/userAssignedIdentities", variable("identity"))
_PRINCIPAL = f"reference({IDENTITY}, '{IDENTITY_API}').principalId"
_STORAGE = resource_id("Microsoft.Storage/storageAccounts", parameter("storage"))
_VAULT = resource_id("Microsoft.KeyVault/vaults", parameter("vault"))
_INSIGHTS = resource_id("Microsoft.Insights/components", parameter("insights"))
_ROLES = (
    (_STORAGE, STORAGE_BLOB_DATA_OWNER),
    (_STORAGE, STORAGE_QUEUE_DATA_CONTRIBUTOR),
    (_STORAGE, STORAGE_TABLE_DATA_CONTRIBUTOR),
    (_VAULT, KEY_VAULT_SECRETS_USER),
    (_INSIGHTS, MONITORING_METRICS_PUBLISHER),
)
_PRINCIPAL_ID = declare("string", "The principal id of the app's identity.")
ROLES = OWN_GROUP.nested_id("roles")


def on_what_the_app_uses(depends_on: Sequence[str]) -> Json:
    """Its roles on storage, vault and Application Insights, which ``depends_on`` names."""
    names = ("storage", "vault", "insights")
    return nested(
        "roles",
        depends_on=[IDENTITY, *depends_on],
        parameters={"principalId": _PRINCIPAL, **{name: variable(name) for name in names}},
        template={
            "parameters": {
                "principalId": _PRINCIPAL_ID,
                **{name: declare("string", f"The name of the {name} resource.") for name in names},
            },
            "resources": [
                role_assignment(scope=scope, role=role, principal=parameter("principalId"))
                for scope, role in _ROLES
            ],
        },
    )


def on_rule(key: str, rule_name: str, *, condition: str | None) -> Json:
    """Its role on one data collection rule, whose name is an expression."""
    kind = "Microsoft.Insights/dataCollectionRules"
    return nested(
        f"send-{key.lower()}",
        condition=condition,
        depends_on=[IDENTITY, resource_id(kind, rule_name)],
        parameters={"principalId": _PRINCIPAL, "rule": rule_name},
        template={
            "parameters": {
                "principalId": _PRINCIPAL_ID,
                "rule": declare("string", "The name of the data collection rule."),
            },
            "resources": [
                role_assignment(
                    scope=resource_id(kind, parameter("rule")),
                    role=MONITORING_METRICS_PUBLISHER,
                    principal=parameter("principalId"),
                )
            ],
        },
    )
