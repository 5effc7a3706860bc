"""A network of the app's own, where ``network`` asks for one.

``fixedAddress``: a virtual network whose traffic leaves by one address, for vendors that admit
addresses. ``private``: besides, what private_endpoints.py makes.
https://learn.microsoft.com/azure/azure-functions/flex-consumption-networking-options
"""

from __future__ import annotations

from tools.template.arm import (
    OWN_GROUP,
    Json,
    declare,
    nested,
    parameter,
    resource_id,
    value,
    variable,
)

OWN = variable("ownNetwork")
PRIVATE = variable("privateNetwork")
NETWORK = OWN_GROUP.nested_id("network")
ADDRESS = f"reference({NETWORK}, '2024-03-01').outputs.address.value"
API = "2024-05-01"
NETWORK_ID = resource_id("Microsoft.Network/virtualNetworks", variable("network"))
_APP, ENDPOINT_SUBNET = "app", "endpoints"


def variables() -> Json:
    """Whether there is a network, and whether it is a private one."""
    return {
        "ownNetwork": value(f"not(equals({parameter('network')}, 'public'))"),
        "privateNetwork": value(f"equals({parameter('network')}, 'private')"),
        "network": value(f"concat({variable('app')}, '-network')"),
    }


def subnet_id() -> str:
    """The expression of the id of the subnet that the app is in; null for none."""
    given = parameter("subnetId")
    other = f"if(empty({given}), null(), {given})"
    return f"if({OWN}, {subnet(NETWORK_ID, _APP)}, {other})"


def subnet(network: str, name: str) -> str:
    """The expression of a subnet's id in the network of that id."""
    return f"concat({network}, '/subnets/{name}')"


def resource() -> Json:
    """The network, its gateway and the address."""
    name, addresses = parameter("name"), parameter("addresses")
    address = resource_id("Microsoft.Network/publicIPAddresses", name)
    gateway = resource_id("Microsoft.Network/natGateways", name)
    common = {"apiVersion": API, "name": value(name), "location": value(parameter("location"))}
    return nested(
        "network",
        condition=OWN,
        parameters={
            "name": variable("network"),
            "location": parameter("location"),
            "addresses": parameter("networkAddresses"),
        },
        template={
            "parameters": {
                "name": declare("string", "The name of the network and of its gateway."),
                "location": declare("string", "The app's region."),
                "addresses": declare("string", "The network's addresses, in CIDR notation."),
            },
            "resources": [
                {
                    "type": "Microsoft.Network/publicIPAddresses",
                    **common,
                    "sku": {"name": "Standard"},
                    "properties": {"publicIPAllocationMethod": "Static"},
                },
                {
                    "type": "Microsoft.Network/natGateways",
                    **common,
                    "sku": {"name": "Standard"},
                    "dependsOn": [value(address)],
                    "properties": {"publicIpAddresses": [{"id": value(address)}]},
                },
                {
                    "type": "Microsoft.Network/virtualNetworks",
                    **common,
                    "dependsOn": [value(gateway)],
                    "properties": {
                        "addressSpace": {"addressPrefixes": [value(addresses)]},
                        "subnets": [
                            {
                                "name": _APP,
                                "properties": {
                                    "addressPrefix": value(f"cidrSubnet({addresses}, 24, 0)"),
                                    "natGateway": {"id": value(gateway)},
                                    "delegations": [
                                        {
                                            "name": "app",
                                            "properties": {
                                                "serviceName": "Microsoft.App/environments"
                                            },
                                        }
                                    ],
                                },
                            },
                            {
                                "name": ENDPOINT_SUBNET,
                                "properties": {
                                    "addressPrefix": value(f"cidrSubnet({addresses}, 24, 1)")
                                },
                            },
                        ],
                    },
                },
            ],
            "outputs": {
                "address": {
                    "type": "string",
                    "value": value(f"reference({address}, '{API}').ipAddress"),
                }
            },
        },
    )
