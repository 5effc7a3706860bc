"""What a private network reaches inside: storage, vault and Azure Monitor, with their DNS zones.

https://learn.microsoft.com/azure/azure-monitor/logs/private-link-configure
"""

from __future__ import annotations

from collections.abc import Sequence

from tools.template.arm import (
    OWN_GROUP,
    Json,
    declare,
    nested,
    parameter,
    quoted,
    resource_id,
    value,
    variable,
)
from tools.template.network import API, ENDPOINT_SUBNET, NETWORK, NETWORK_ID, PRIVATE, subnet

ENDPOINTS = OWN_GROUP.nested_id("private-endpoints")
_STORAGE = resource_id("Microsoft.Storage/storageAccounts", variable("storage"))
_VAULT = resource_id("Microsoft.KeyVault/vaults", variable("vault"))
_INSIGHTS = resource_id("Microsoft.Insights/components", variable("insights"))
_ENDPOINT = resource_id("Microsoft.Insights/dataCollectionEndpoints", variable("endpoint"))
_DNS_API = "2020-06-01"
_SCOPE_API = "2021-07-01-preview"


def resource() -> Json:
    """Endpoints, zones and scope, after what they lead to."""
    given = {
        "name": variable("network"),
        "location": parameter("location"),
        "network": NETWORK_ID,
        "storage": _STORAGE,
        "vault": _VAULT,
        "insights": _INSIGHTS,
        "ingestion": _ENDPOINT,
    }
    zones = [*_STORAGE_ZONES.values(), _VAULT_ZONE, *_MONITOR_ZONES]
    scope = resource_id("Microsoft.Insights/privateLinkScopes", parameter("name"))
    members = ("ingestion", "insights")
    return nested(
        "private-endpoints",
        condition=PRIVATE,
        depends_on=[NETWORK, _STORAGE, _VAULT, _INSIGHTS, _ENDPOINT],
        parameters=given,
        template={
            "parameters": {
                name: declare("string", f"The id, name or place of the {name}.") for name in given
            },
            "variables": {
                "top": value(
                    "if(equals(environment().name, 'AzureUSGovernment'), 'us', "
                    "if(equals(environment().name, 'AzureChinaCloud'), 'cn', 'com'))"
                ),
                "automation": value(f"if(equals({_TOP}, 'com'), 'net', {_TOP})"),
            },
            "resources": [
                *(each for zone in zones for each in _zone(zone)),
                *_scope(members),
                *(
                    each
                    for kind, zone in _STORAGE_ZONES.items()
                    for each in _endpoint(kind, parameter("storage"), kind, [zone], [])
                ),
                *_endpoint("vault", parameter("vault"), "vault", [_VAULT_ZONE], []),
                *_endpoint(
                    "monitor",
                    scope,
                    "azuremonitor",
                    [*_MONITOR_ZONES, _STORAGE_ZONES["blob"]],
                    [scope, *(_scoped_id(name) for name in members)],
                ),
            ],
        },
    )


_TOP = variable("top")
_STORAGE_ZONES = {
    kind: f"concat('privatelink.{kind}.', environment().suffixes.storage)"
    for kind in ("blob", "queue", "table")
}
_VAULT_ZONE = (
    "concat('privatelink', replace(environment().suffixes.keyvaultDns, '.vault.', '.vaultcore.'))"
)
_MONITOR_ZONES = (
    f"concat('privatelink.monitor.azure.', {_TOP})",
    f"concat('privatelink.oms.opinsights.azure.', {_TOP})",
    f"concat('privatelink.ods.opinsights.azure.', {_TOP})",
    f"concat('privatelink.agentsvc.azure-automation.', {variable('automation')})",
)


def _zone_id(zone: str) -> str:
    return resource_id("Microsoft.Network/privateDnsZones", zone)


def _zone(zone: str) -> list[Json]:
    return [
        {
            "type": "Microsoft.Network/privateDnsZones",
            "apiVersion": _DNS_API,
            "name": value(zone),
            "location": "global",
            "properties": {},
        },
        {
            "type": "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
            "apiVersion": _DNS_API,
            "name": value(f"concat({zone}, '/', {parameter('name')})"),
            "location": "global",
            "dependsOn": [value(_zone_id(zone))],
            "properties": {
                "registrationEnabled": False,
                "virtualNetwork": {"id": value(parameter("network"))},
            },
        },
    ]


def _scoped_id(member: str) -> str:
    kind = "Microsoft.Insights/privateLinkScopes/scopedResources"
    return resource_id(kind, parameter("name"), quoted(member))


def _scope(members: Sequence[str]) -> list[Json]:
    """The private link scope. Open: what is not in it stays reachable, like other workspaces."""
    made: list[Json] = [
        {
            "type": "Microsoft.Insights/privateLinkScopes",
            "apiVersion": _SCOPE_API,
            "name": value(parameter("name")),
            "location": "global",
            "properties": {
                "accessModeSettings": {"ingestionAccessMode": "Open", "queryAccessMode": "Open"}
            },
        }
    ]
    scope = resource_id("Microsoft.Insights/privateLinkScopes", parameter("name"))
    after = [scope]
    for member in members:
        # A scope takes one member at a time.
        made.append(
            {
                "type": "Microsoft.Insights/privateLinkScopes/scopedResources",
                "apiVersion": _SCOPE_API,
                "name": value(f"concat({parameter('name')}, '/{member}')"),
                "dependsOn": [value(each) for each in after],
                "properties": {"linkedResourceId": value(parameter(member))},
            }
        )
        after = [scope, _scoped_id(member)]
    return made


def _endpoint(
    name: str, target: str, group: str, zones: Sequence[str], depends_on: Sequence[str]
) -> list[Json]:
    full = f"concat({parameter('name')}, '-{name}')"
    return [
        {
            "type": "Microsoft.Network/privateEndpoints",
            "apiVersion": API,
            "name": value(full),
            "location": value(parameter("location")),
            "dependsOn": [value(each) for each in depends_on],
            "properties": {
                "subnet": {"id": value(subnet(parameter("network"), ENDPOINT_SUBNET))},
                "privateLinkServiceConnections": [
                    {
                        "name": name,
                        "properties": {"privateLinkServiceId": value(target), "groupIds": [group]},
                    }
                ],
            },
        },
        {
            "type": "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
            "apiVersion": API,
            "name": value(f"concat({full}, '/default')"),
            "dependsOn": [
                value(each)
                for each in (
                    resource_id("Microsoft.Network/privateEndpoints", full),
                    *map(_zone_id, zones),
                )
            ],
            "properties": {
                "privateDnsZoneConfigs": [
                    {
                        "name": f"zone{number}",
                        "properties": {"privateDnsZoneId": value(_zone_id(zone))},
                    }
                    for number, zone in enumerate(zones)
                ]
            },
        },
    ]
