"""A network of the app's own: one address to the outside, or private to Azure's services too."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.azure import STORAGE_SUFFIXES, Azure
from tests.deploy.conftest import GIVEN, azure_with_workspace, parameters
from tests.deploy.test_template import names, site

# What each type may have and must have at this version, as Azure publishes it for Bicep
# (Azure/bicep-types-az, generated/network 2024-05-01 and 2020-06-01, insights 2021-07-01-preview),
# as far as the template uses it: True for what is required, a nested mapping for an object.
TYPES: dict[str, dict[str, Any]] = {
    "Microsoft.Network/publicIPAddresses": {"publicIPAllocationMethod": False},
    "Microsoft.Network/natGateways": {"publicIpAddresses": False},
    "Microsoft.Network/virtualNetworks": {"addressSpace": False, "subnets": False},
    "Microsoft.Network/privateDnsZones": {},
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": {
        "registrationEnabled": False,
        "virtualNetwork": False,
    },
    "Microsoft.Network/privateEndpoints": {"subnet": False, "privateLinkServiceConnections": False},
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": {"privateDnsZoneConfigs": False},
    "Microsoft.Insights/privateLinkScopes": {"accessModeSettings": True},
    "Microsoft.Insights/privateLinkScopes/scopedResources": {"linkedResourceId": False},
}
ENDPOINTS = "Microsoft.Network/privateEndpoints"


def properties(azure: Azure, resource_type: str) -> list[dict[str, Any]]:
    return [body["properties"] for body in azure.of_type(resource_type).values()]


def test_without_a_choice_there_is_no_network(template: dict[str, Any], azure: Azure) -> None:
    """What was deployed before stays as it was, a person's own network rules too."""
    outputs = azure.deploy(template, parameters(*GIVEN))
    assert not [each for each in azure.resources if "microsoft.network" in each]
    assert site(azure)["properties"]["virtualNetworkSubnetId"] is None
    for kind in ("Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults"):
        (made,) = properties(azure, kind)
        assert made["publicNetworkAccess"] is None
    assert outputs["outgoingAddress"] == ""


def test_a_fixed_address_is_the_one_by_which_all_traffic_leaves(
    template: dict[str, Any], azure: Azure
) -> None:
    """The app's subnet is delegated to it, and its gateway has the address that is put out."""
    outputs = azure.deploy(template, parameters(*GIVEN, network="fixedAddress"))
    (network,) = properties(azure, "Microsoft.Network/virtualNetworks")
    app, endpoints = network["subnets"]
    (gateway,) = azure.of_type("Microsoft.Network/natGateways")
    assert app["properties"]["natGateway"]["id"].lower() == gateway
    (delegated,) = app["properties"]["delegations"]
    assert delegated["properties"]["serviceName"] == "Microsoft.App/environments"
    prefixes = [each["properties"]["addressPrefix"] for each in (app, endpoints)]
    assert prefixes == ["10.187.0.0/24", "10.187.1.0/24"]
    assert outputs["outgoingAddress"] == "203.0.113.7"
    assert site(azure)["properties"]["virtualNetworkSubnetId"].endswith("/subnets/app")
    assert not azure.of_type(ENDPOINTS)
    (vault,) = properties(azure, "Microsoft.KeyVault/vaults")
    assert vault["publicNetworkAccess"] is None


@pytest.mark.parametrize("cloud", STORAGE_SUFFIXES)
def test_a_private_network_closes_storage_and_vault_and_reaches_them_inside(
    template: dict[str, Any], cloud: str
) -> None:
    """Each service has its endpoint, in its zone, and the network resolves every zone."""
    azure = azure_with_workspace(cloud)
    azure.deploy(template, parameters("Jira", network="private"))
    for kind in ("Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults"):
        (made,) = properties(azure, kind)
        assert made["publicNetworkAccess"] == "Disabled"
    groups = {
        each["privateLinkServiceConnections"][0]["properties"]["groupIds"][0]
        for each in properties(azure, ENDPOINTS)
    }
    assert groups == {"blob", "queue", "table", "vault", "azuremonitor"}
    zones = set(names(azure, "Microsoft.Network/privateDnsZones"))
    suffix = STORAGE_SUFFIXES[cloud]
    assert {f"privatelink.{kind}.{suffix}" for kind in ("blob", "queue", "table")} <= zones
    top = {"AzureCloud": "com", "AzureUSGovernment": "us", "AzureChinaCloud": "cn"}[cloud]
    assert f"privatelink.monitor.azure.{top}" in zones
    assert any(zone.startswith("privatelink.vaultcore.") for zone in zones)
    assert len(zones) == 8
    assert len(azure.of_type("Microsoft.Network/privateDnsZones/virtualNetworkLinks")) == 8
    named = {
        config["properties"]["privateDnsZoneId"].rsplit("/", 1)[1].lower()
        for group in properties(azure, f"{ENDPOINTS}/privateDnsZoneGroups")
        for config in group["privateDnsZoneConfigs"]
    }
    assert named == zones


def test_the_ingestion_endpoint_is_in_a_private_link_scope_and_closed(
    template: dict[str, Any], azure: Azure
) -> None:
    """The app reaches it inside; with TrapEye, which posts from outside, it stays open."""
    azure.deploy(template, parameters("Jira", network="private"))
    kind = "Microsoft.Insights/dataCollectionEndpoints"
    linked = {
        each["linkedResourceId"].lower()
        for each in properties(azure, "Microsoft.Insights/privateLinkScopes/scopedResources")
    }
    assert set(azure.of_type(kind)) <= linked
    (endpoint,) = properties(azure, kind)
    assert endpoint["networkAcls"]["publicNetworkAccess"] == "Disabled"
    azure.deploy(template, parameters("Jira", "TrapEye", network="private"))
    (endpoint,) = properties(azure, kind)
    assert endpoint["networkAcls"]["publicNetworkAccess"] == "Enabled"


def test_the_app_comes_after_its_network(template: dict[str, Any], azure: Azure) -> None:
    """Its first start finds storage and vault by their private names."""
    azure.deploy(template, parameters("Jira", network="private"))
    (app,) = azure.of_type("Microsoft.Web/sites")
    before = azure.put[: azure.put.index(app)]
    for kind in (ENDPOINTS, f"{ENDPOINTS}/privateDnsZoneGroups"):
        assert set(azure.of_type(kind)) <= set(before)


def test_each_resource_has_what_its_published_type_knows(
    template: dict[str, Any], azure: Azure
) -> None:
    """No property is unknown, none required is missing, and a second run changes nothing."""
    azure.deploy(template, parameters(*GIVEN, network="private"))
    before = dict(azure.resources)
    for kind, known in TYPES.items():
        made = properties(azure, kind)
        assert made, kind
        for each in made:
            assert set(each) <= set(known), kind
            assert {name for name, required in known.items() if required} <= set(each), kind
    azure.deploy(template, parameters(*GIVEN, network="private"))
    assert azure.resources == before
