"""Makes templates of Microsoft Sentinel's own pollers (kind RestApiPoller), without a function app.

Each sentinel/codeless/<name>.yaml declares one, and <name>.json is made of it. It writes to the
connector's table by the same transform as the app; the docs say what it lacks beside the function.
https://learn.microsoft.com/azure/sentinel/data-connector-connection-rules-reference
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools import project
from tools.content import SENTINEL, StreamDecl, Table, load_tables, load_yaml
from tools.template.arm import (
    RULES_API,
    SCHEMA,
    TABLES_API,
    Json,
    literal,
    parameter,
    quoted,
    resource_id,
    value,
    variable,
)
from tools.template.transforms import one_line

_API = "2025-09-01"
_FOLDER = SENTINEL / "codeless"
_WORKSPACE = resource_id("Microsoft.OperationalInsights/workspaces", parameter("workspaceName"))
_ENDPOINT = resource_id("Microsoft.Insights/dataCollectionEndpoints", variable("name"))
_RULE = resource_id("Microsoft.Insights/dataCollectionRules", variable("name"))
_PAGE = (
    f"extensionResourceId({_WORKSPACE}, 'Microsoft.SecurityInsights/dataConnectorDefinitions', "
    f"{variable('name')})"
)
# What the function adds to a record, here from the record itself.
_BEFORE = "extend TimeGenerated = now(), AdditionalFields = parse_json('')"


@dataclass(frozen=True, slots=True)
class Codeless:
    """A poller as its file declares it.

    ``time`` is the column of a row's own time; ``account`` is the parameter that tells two pollers
    on one workspace apart. ``poller`` is what the resource has beside its rule and its page.
    """

    path: Path
    description: str
    table: Table
    stream: StreamDecl
    time: str
    account: str
    parameters: Mapping[str, Any]
    poller: Mapping[str, Any]
    page: Mapping[str, Any]

    @property
    def transform(self) -> str:
        """The function's transform, between two steps that add what the function adds."""
        first, rest = one_line(self.stream.transform).split("|", maxsplit=1)
        after = f"extend TimeGenerated = iif(isnull({self.time}), TimeGenerated, {self.time})"
        return f"{first.strip()} | {_BEFORE} |{rest} | {after}"

    @property
    def table_id(self) -> str:
        """The expression of its table's id."""
        return resource_id(
            "Microsoft.OperationalInsights/workspaces/tables",
            parameter("workspaceName"),
            quoted(self.table.name),
        )


def load() -> list[Codeless]:
    """Every poller in sentinel/codeless, by file name."""
    return [_load(path) for path in sorted(_FOLDER.glob("*.yaml"))]


def _load(path: Path) -> Codeless:
    declared = load_yaml(path)
    name, stream = declared.pop("table"), declared.pop("stream")
    table = next(table for table in load_tables() if table.name == name)
    return Codeless(path, table=table, stream=table.streams[stream], **declared)


def templates() -> list[tuple[Path, Json]]:
    """Each poller's template, for the workspace's resource group, with the file to write it to."""
    return [(each.path.with_suffix(".json"), _template(each)) for each in load()]


def _template(codeless: Codeless) -> Json:
    return {
        "$schema": SCHEMA,
        "contentVersion": f"{project.version()}.0",
        "metadata": {
            "description": f"{codeless.description} "
            "Generated from sentinel/ and tools/template/ by `make template`."
        },
        "parameters": {**_parameters(), **codeless.parameters},
        "variables": {
            "name": value(
                f"concat('{codeless.path.stem}-codeless-', uniqueString(resourceGroup().id, "
                f"{parameter('workspaceName')}, {parameter(codeless.account)}))"
            )
        },
        "resources": [
            _table(codeless.table),
            _endpoint(),
            _rule(codeless),
            _page(codeless),
            _poller(codeless),
        ],
    }


def _parameters() -> Json:
    return {
        "workspaceName": {
            "type": "string",
            "metadata": {
                "description": "The workspace that Microsoft Sentinel runs on, in this resource "
                "group."
            },
        },
        "workspaceLocation": {
            "type": "string",
            "defaultValue": "[resourceGroup().location]",
            "metadata": {"description": "The workspace's region."},
        },
    }


def _table(table: Table) -> Json:
    return {
        "type": "Microsoft.OperationalInsights/workspaces/tables",
        "apiVersion": TABLES_API,
        "name": value(f"concat({parameter('workspaceName')}, '/{table.name}')"),
        "properties": {
            "plan": "Analytics",
            "schema": {
                "name": table.name,
                "description": table.description,
                "columns": [
                    {"name": name, "type": "dateTime" if kind == "datetime" else kind}
                    for name, kind in table.columns.items()
                ],
            },
        },
    }


def _endpoint() -> Json:
    return {
        "type": "Microsoft.Insights/dataCollectionEndpoints",
        "apiVersion": RULES_API,
        "name": value(variable("name")),
        "location": value(parameter("workspaceLocation")),
        "properties": {"networkAcls": {"publicNetworkAccess": "Enabled"}},
    }


def _rule(codeless: Codeless) -> Json:
    stream = codeless.stream
    return {
        "type": "Microsoft.Insights/dataCollectionRules",
        "apiVersion": RULES_API,
        "name": value(variable("name")),
        "location": value(parameter("workspaceLocation")),
        "dependsOn": [value(codeless.table_id), value(_ENDPOINT)],
        "properties": {
            "dataCollectionEndpointId": value(_ENDPOINT),
            "streamDeclarations": {
                stream.name: {
                    "columns": [
                        {"name": name, "type": kind}
                        for name, kind in stream.columns.items()
                        if name not in ("TimeGenerated", "AdditionalFields")
                    ]
                }
            },
            "destinations": {
                "logAnalytics": [{"name": "workspace", "workspaceResourceId": value(_WORKSPACE)}]
            },
            "dataFlows": [
                {
                    "streams": [stream.name],
                    "destinations": ["workspace"],
                    "transformKql": codeless.transform,
                    "outputStream": f"Custom-{codeless.table.name}",
                }
            ],
        },
    }


def _page(codeless: Codeless) -> Json:
    return {
        "type": "Microsoft.SecurityInsights/dataConnectorDefinitions",
        "apiVersion": _API,
        "name": value(variable("name")),
        "scope": value(_WORKSPACE),
        "dependsOn": [value(codeless.table_id)],
        "kind": "Customizable",
        "properties": {
            "connectorUiConfig": {"id": value(variable("name")), **literal(codeless.page)}
        },
    }


def _poller(codeless: Codeless) -> Json:
    return {
        "type": "Microsoft.SecurityInsights/dataConnectors",
        "apiVersion": _API,
        "name": value(variable("name")),
        "scope": value(_WORKSPACE),
        "dependsOn": [value(_PAGE), value(_RULE), value(_ENDPOINT)],
        "kind": "RestApiPoller",
        "properties": {
            "connectorDefinitionName": value(variable("name")),
            "dataType": codeless.table.name,
            "dcrConfig": {
                "streamName": codeless.stream.name,
                "dataCollectionEndpoint": value(
                    f"reference({_ENDPOINT}, '{RULES_API}').logsIngestion.endpoint"
                ),
                "dataCollectionRuleImmutableId": value(
                    f"reference({_RULE}, '{RULES_API}').immutableId"
                ),
            },
            **codeless.poller,
            "isActive": True,
        },
    }
