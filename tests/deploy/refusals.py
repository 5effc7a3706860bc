"""What Azure's resource providers refuse although the template is well formed, as people met it."""

from __future__ import annotations

import re
from typing import Any, Protocol

from tools.content import load_tables

Json = dict[str, Any]
_TABLES = {table.name for table in load_tables()}


class Refused(Exception):
    """A provider's answer to a resource; the message has its code."""


class Subscription(Protocol):
    """What is there already."""

    resources: dict[str, Json]
    tables_known_late: bool
    roles_known_late: bool

    def known(self, identity: str) -> bool:
        """Whether what was made has been there since an earlier run."""
        ...


def check(azure: Subscription, identity: str, body: Json) -> None:
    """Raise ``Refused`` where the provider of ``body`` would not take it now."""
    checks = {
        "Microsoft.OperationalInsights/workspaces/savedSearches": _saved_search,
        "Microsoft.SecurityInsights/alertRules": _rule,
        "Microsoft.Authorization/roleAssignments": _role,
        "Microsoft.Web/sites/extensions": _code,
        "Microsoft.KeyVault/vaults": _vault,
    }
    if (found := checks.get(body["type"])) is not None:
        found(azure, identity, body)


def _saved_search(azure: Subscription, identity: str, body: Json) -> None:
    if "etag" in body:
        raise Refused(f"{identity}: 400 InvalidTemplate: etag at the resource's level")
    if identity in azure.resources and body["properties"].get("etag") != "*":
        raise Refused(f"{identity}: 409 NewerDataExists")


def _rule(azure: Subscription, identity: str, body: Json) -> None:
    """A table outside a fuzzy union must be one that Sentinel has seen."""
    query = re.sub(r"union isfuzzy=true[^;]*;", "", body["properties"]["query"])
    for name in sorted(_TABLES & set(re.findall(r"\w+_CL\b", query))):
        there = [each for each in azure.resources if each.endswith(f"/tables/{name.lower()}")]
        late = azure.tables_known_late and not all(azure.known(each) for each in there)
        if not there or late:
            raise Refused(f"{identity}: 400 BadRequest: Failed to resolve table {name}")


def _role(azure: Subscription, identity: str, body: Json) -> None:
    granted = _grant(body)
    before = azure.resources.get(identity)
    if before is not None and _grant(before) != granted:
        raise Refused(f"{identity}: 400 RoleAssignmentUpdateNotPermitted")
    for other, there in azure.resources.items():
        if there["type"] == body["type"] and other != identity and _grant(there) == granted:
            raise Refused(f"{identity}: 409 RoleAssignmentExists: {other}")


def _grant(body: Json) -> tuple[str, str, str]:
    properties = body["properties"]
    return (
        body["scope"].lower(),
        properties["roleDefinitionId"].lower(),
        properties["principalId"],
    )


def _code(azure: Subscription, identity: str, body: Json) -> None:
    roles = [
        each
        for each, there in azure.resources.items()
        if there["type"] == "Microsoft.Authorization/roleAssignments"
        and "/storageaccounts/" in there["scope"].lower()
    ]
    late = azure.roles_known_late and not all(azure.known(each) for each in roles)
    if not roles or late:
        raise Refused(f"{identity}: 403 InaccessibleStorageException")


def _vault(azure: Subscription, identity: str, body: Json) -> None:
    """https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules."""
    name = identity.rsplit("/", 1)[1]
    if not re.fullmatch(r"[a-z](?:-?[a-z0-9])+", name) or not 3 <= len(name) <= 24:
        raise Refused(f"{identity}: 400 VaultNameNotValid")
