"""The way into the workspace: an endpoint, and a data collection rule for each connector.

https://learn.microsoft.com/azure/azure-monitor/logs/logs-ingestion-api-overview
"""

from __future__ import annotations

from collections.abc import Sequence

from tools.content import Table
from tools.template import app, network, roles, tables, transforms
from tools.template.arm import (
    RULES_API,
    Group,
    Json,
    any_of,
    either,
    parameter,
    resource_id,
    role_assignment,
    value,
    variable,
)
from tools.template.sections import Section, sections

ENDPOINT = resource_id("Microsoft.Insights/dataCollectionEndpoints", variable("endpoint"))


def rule_id(section: Section) -> str:
    """The expression of the id of a section's data collection rule."""
    return resource_id("Microsoft.Insights/dataCollectionRules", section.rule_name)


def resources(declared: Sequence[Table], group: Group) -> list[Json]:
    """Endpoint, rules, who may send to them, and where their errors are logged.

    ``group`` is the workspace's resource group.
    """
    made = [_endpoint()]
    for section in sections():
        own = [table for table in declared if table.name in section.tables]
        made.append(_rule(section, own, group))
        made.append(_may_send(section))
        made.append(_errors_logged(section))
    return made


def _endpoint() -> Json:
    return {
        "type": "Microsoft.Insights/dataCollectionEndpoints",
        "apiVersion": RULES_API,
        "name": value(variable("endpoint")),
        "location": value(parameter("workspaceLocation")),
        "properties": {"networkAcls": {"publicNetworkAccess": value(_public_access())}},
    }


def _public_access() -> str:
    """A private network closes the endpoint, unless a product outside of it posts by itself."""
    senders = [s.condition for s in sections() if s.rule_setting is None and s.condition]
    closed = f"not({any_of(senders)})" if senders else "true()"
    return either(f"and({network.PRIVATE}, {closed})", "'Disabled'", "'Enabled'")


def _rule(section: Section, declared: Sequence[Table], group: Group) -> Json:
    streams = [(table, stream) for table in declared for stream in table.streams.values()]
    return {
        **({"condition": value(section.condition)} if section.condition else {}),
        "type": "Microsoft.Insights/dataCollectionRules",
        "apiVersion": RULES_API,
        "name": value(section.rule_name),
        "location": value(parameter("workspaceLocation")),
        # A rule is refused (InvalidOutputTable) right after its table was made: the app, which
        # takes its time, comes between them.
        "dependsOn": [
            value(ENDPOINT),
            value(group.nested_id(tables.TABLES_DEPLOYMENT)),
            value(app.APP),
        ],
        "properties": {
            "description": f"{section.key}: what is posted becomes {', '.join(section.tables)}.",
            "dataCollectionEndpointId": value(ENDPOINT),
            "streamDeclarations": {
                stream.name: {
                    "columns": [{"name": n, "type": kind} for n, kind in stream.columns.items()]
                }
                for _, stream in streams
            },
            "destinations": {
                "logAnalytics": [
                    {"name": "workspace", "workspaceResourceId": value(variable("workspaceId"))}
                ]
            },
            "dataFlows": [
                {
                    "streams": [stream.name],
                    "destinations": ["workspace"],
                    "transformKql": transforms.transform(table, stream, group),
                    "outputStream": f"Custom-{table.name}",
                }
                for table, stream in streams
            ],
        },
    }


def _may_send(section: Section) -> Json:
    """Only the app may send to its rules, and only a sender to its own."""
    if section.rule_setting is not None or section.switch is None:
        return roles.on_rule(section.key, section.rule_name, condition=section.condition)
    role = role_assignment(
        scope=rule_id(section),
        role=roles.MONITORING_METRICS_PUBLISHER,
        principal=parameter(section.switch.name),
        depends_on=[rule_id(section)],
    )
    return {**({"condition": value(section.condition)} if section.condition else {}), **role}


def _errors_logged(section: Section) -> Json:
    """Records that a rule cannot take show in the workspace's table DCRLogErrors."""
    return {
        **({"condition": value(section.condition)} if section.condition else {}),
        "type": "Microsoft.Insights/diagnosticSettings",
        "apiVersion": "2021-05-01-preview",
        "name": "errors-to-workspace",
        "scope": value(rule_id(section)),
        "dependsOn": [value(rule_id(section))],
        "properties": {
            "workspaceId": value(variable("workspaceId")),
            "logs": [{"category": "LogErrors", "enabled": True}],
        },
    }
