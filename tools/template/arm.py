"""The few things of Azure Resource Manager's language that the template's source is made with.

A resource is a plain dict. A value that Azure computes is a string in brackets; here the inside
of the brackets is called an expression and is a plain string too, so that expressions nest.
https://learn.microsoft.com/azure/azure-resource-manager/templates/template-expressions
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"

# apiVersions, one place for each type that is used more than once
TABLES_API = "2023-09-01"
RULES_API = "2023-03-11"
IDENTITY_API = "2023-01-31"
SITES_API = "2024-04-01"
STORAGE_API = "2023-05-01"


def value(expression: str) -> str:
    """The string that makes Azure compute ``expression``."""
    return f"[{expression}]"


def literal(data: Any) -> Any:
    """``data`` with every string kept from being taken for an expression."""
    if isinstance(data, str):
        return f"[{data}" if data.startswith("[") and data.endswith("]") else data
    if isinstance(data, Mapping):
        return {key: literal(item) for key, item in data.items()}
    if isinstance(data, Sequence):
        return [literal(item) for item in data]
    return data


def quoted(text: str) -> str:
    """``text`` as a string inside an expression."""
    return "'" + text.replace("'", "''") + "'"


def parameter(name: str) -> str:
    """The expression of a parameter's value."""
    return f"parameters('{name}')"


def variable(name: str) -> str:
    """The expression of a variable's value."""
    return f"variables('{name}')"


def resource_id(resource_type: str, *names: str) -> str:
    """The expression of a resource's id; ``names`` are expressions."""
    return f"resourceId('{resource_type}', {', '.join(names)})"


def create_object(members: Mapping[str, str]) -> str:
    """An object as an expression: names are literal, values are expressions."""
    return f"createObject({', '.join(f'{quoted(k)}, {v}' for k, v in members.items())})"


def any_of(conditions: Sequence[str]) -> str:
    """``or`` as an expression, of one condition or more."""
    return conditions[0] if len(conditions) == 1 else f"or({', '.join(conditions)})"


def declare(kind: str, description: str, **more: Any) -> Json:
    """A nested template's parameter."""
    return {"type": kind, **more, "metadata": {"description": description}}


def either(condition: str, yes: str, no: str) -> str:
    """``if`` as an expression; Azure evaluates only the side that it takes."""
    return f"if({condition}, {yes}, {no})"


def role_assignment(
    *, scope: str, role: str, principal: str, depends_on: Sequence[str] = ()
) -> Json:
    """A role for a service principal on one resource, and on nothing above it.

    ``scope`` and ``principal`` are expressions, ``role`` is a built-in role's GUID. The name is
    made of the principal's id, so that an identity that was deleted and made again gets new
    assignments: Azure lets nobody change the principal of one. A name may hold no reference, so
    ``principal`` must be a parameter.
    """
    return {
        "type": "Microsoft.Authorization/roleAssignments",
        "apiVersion": "2022-04-01",
        "name": value(f"guid({scope}, {principal}, '{role}')"),
        "scope": value(scope),
        "dependsOn": [value(item) for item in depends_on],
        "properties": {
            "roleDefinitionId": value(
                f"subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '{role}')"
            ),
            "principalId": value(principal),
            "principalType": "ServicePrincipal",
        },
    }


@dataclass(frozen=True)
class Group:
    """A resource group to deploy into: the deployment's own, or one that a parameter names."""

    subscription: str = ""
    name: str = ""

    @property
    def properties(self) -> Json:
        """The properties that send a nested deployment there."""
        if not self.name:
            return {}
        return {"subscriptionId": value(self.subscription), "resourceGroup": value(self.name)}

    def resource_id(self, resource_type: str, *names: str) -> str:
        """The expression of the id of a resource in this group; ``names`` are expressions."""
        where = (self.subscription, self.name) if self.name else ()
        return f"resourceId({', '.join((*where, quoted(resource_type), *names))})"

    def nested_id(self, name: str) -> str:
        """The expression of a nested deployment's id, to depend on."""
        return self.resource_id("Microsoft.Resources/deployments", nested_name(name))


OWN_GROUP = Group()


def nested_name(name: str) -> str:
    """The expression of a nested deployment's name: two groups may deploy into one workspace."""
    return f"concat({quoted(name + '-')}, variables('unique'))"


def nested(
    name: str,
    *,
    template: Json,
    parameters: Mapping[str, str],
    group: Group = OWN_GROUP,
    depends_on: Sequence[str] = (),
    condition: str | None = None,
) -> Json:
    """A nested deployment with its parameters.

    ``parameters`` maps names to expressions of the outer template; ``template`` declares them.
    """
    return {
        **({"condition": value(condition)} if condition else {}),
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "2024-03-01",
        "name": value(nested_name(name)),
        **group.properties,
        "dependsOn": [value(item) for item in depends_on],
        "properties": {
            "mode": "Incremental",
            "expressionEvaluationOptions": {"scope": "inner"},
            "parameters": {key: {"value": value(item)} for key, item in parameters.items()},
            "template": {"$schema": SCHEMA, "contentVersion": "1.0.0.0", **template},
        },
    }
