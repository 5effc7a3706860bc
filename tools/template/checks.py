"""What a person is told before anything is made.

A nested deployment makes nothing: Azure refuses it where a number is over its parameter's most,
and says the parameter's name. All else waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from tools.content import MAX_COLUMNS, Table
from tools.template import connections, tables
from tools.template.arm import OWN_GROUP, Group, Json, declare, nested, parameter, quoted, value

CHECKS = "checks"


def resource(declared: Sequence[Table], group: Group) -> Json:
    """The nested deployment; ``group`` is the workspace's resource group."""
    streams = ", ".join(quoted(name) for table in declared for name in table.streams)
    unknown = (
        f"lambda('filter', not(contains(createArray({streams}), lambdaVariables('filter').key)))"
    )
    counts = {
        **{
            f"columnsOf{table.name}": (
                tables.column_count(table, group),
                MAX_COLUMNS,
                f"How many columns {table.name} would have; a table takes {MAX_COLUMNS}.",
            )
            for table in declared
        },
        "connectionsOfUnknownConnectors": (
            connections.of_unknown_connectors(),
            0,
            "Items of connections whose connector there is not.",
        ),
        "connectionsWithSecretSettings": (
            connections.with_secrets(),
            0,
            "Items of connections that name a secret: secrets go into Key Vault.",
        ),
        "appSettingsOfKeyVault": (
            connections.plain_secrets(),
            0,
            "Names in appSettings that are a secret's: secrets go into Key Vault.",
        ),
        "filtersOfUnknownStreams": (
            f"length(filter(items({parameter('filters')}), {unknown}))",
            0,
            "Names in filters that are no stream's.",
        ),
    }
    return nested(
        CHECKS,
        parameters={name: count for name, (count, _, _) in counts.items()},
        template={
            "parameters": {
                name: declare("int", description, maxValue=most)
                for name, (_, most, description) in counts.items()
            },
            "resources": [],
            "outputs": {name: {"type": "int", "value": value(parameter(name))} for name in counts},
        },
    )


def first(resources: Sequence[Json]) -> list[Json]:
    """``resources``, each that waits for nothing made to wait for the checks."""
    wait = {"dependsOn": [value(OWN_GROUP.nested_id(CHECKS))]}
    return [each if each.get("dependsOn") else {**each, **wait} for each in resources]
