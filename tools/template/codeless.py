"""Makes sentinel/codeless/jira.json: Jira's audit records without a function app.

Microsoft Sentinel's own poller (kind RestApiPoller) asks Jira and writes to Jira_Audit_CL by the
same transform as ours. docs/jira-codeless.md says what it lacks beside the function.
https://learn.microsoft.com/azure/sentinel/data-connector-connection-rules-reference
"""

from __future__ import annotations

from typing import Any

import yaml

from tools import project
from tools.content import StreamDecl, Table, load_tables
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
from tools.template.ingestion import one_line

TABLE = "Jira_Audit_CL"
STREAM = "Custom-JiraAudit"
_API = "2025-09-01"
_WORKSPACE = resource_id("Microsoft.OperationalInsights/workspaces", parameter("workspaceName"))
_ENDPOINT = resource_id("Microsoft.Insights/dataCollectionEndpoints", variable("name"))
_RULE = resource_id("Microsoft.Insights/dataCollectionRules", variable("name"))
_TABLE = resource_id(
    "Microsoft.OperationalInsights/workspaces/tables", parameter("workspaceName"), quoted(TABLE)
)
_PAGE = (
    f"extensionResourceId({_WORKSPACE}, 'Microsoft.SecurityInsights/dataConnectorDefinitions', "
    f"{variable('name')})"
)
# What the function adds to a record, here from the record itself.
_BEFORE = "extend TimeGenerated = now(), AdditionalFields = parse_json('')"
_AFTER = "extend TimeGenerated = iif(isnull(created_t), TimeGenerated, created_t)"


def build() -> Json:
    """A template of its own, for the workspace's resource group."""
    table = next(table for table in load_tables() if table.name == TABLE)
    return {
        "$schema": SCHEMA,
        "contentVersion": f"{project.version()}.0",
        "metadata": {
            "description": "Jira's audit records in Microsoft Sentinel by Sentinel's own poller. "
            "Generated from sentinel/ and tools/template/ by `make template`."
        },
        "parameters": _parameters(),
        "variables": {
            "name": "[concat('jira-codeless-', uniqueString(resourceGroup().id, "
            "parameters('workspaceName'), parameters('JiraSite')))]"
        },
        "resources": [_table(table), _endpoint(), _rule(table), _page(), _poller()],
    }


def _parameters() -> Json:
    def text(description: str, **more: Any) -> Json:
        return {"type": "string", **more, "metadata": {"description": description}}

    return {
        "workspaceName": text(
            "The workspace that Microsoft Sentinel runs on, in this resource group."
        ),
        "workspaceLocation": text(
            "The workspace's region.", defaultValue="[resourceGroup().location]"
        ),
        "JiraSite": text("The Jira site's host name, like acme.atlassian.net."),
        "JiraUsername": text("The email address of an account with Administer Jira."),
        "JiraAccessToken": {
            "type": "secureString",
            "metadata": {"description": "That account's API token."},
        },
        "paging": {
            "type": "object",
            # offsetParaName is documented, and absent from Azure's published types.
            "defaultValue": {
                "pagingType": "Offset",
                "offsetParaName": "offset",
                "pageSizeParameterName": "limit",
                "pageSize": 1000,
            },
            "metadata": {"description": "How the poller asks for further pages."},
        },
    }


def _table(table: Table) -> Json:
    return {
        "type": "Microsoft.OperationalInsights/workspaces/tables",
        "apiVersion": TABLES_API,
        "name": value(f"concat({parameter('workspaceName')}, '/{TABLE}')"),
        "properties": {
            "plan": "Analytics",
            "schema": {
                "name": TABLE,
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


def _rule(table: Table) -> Json:
    stream = table.streams[STREAM]
    return {
        "type": "Microsoft.Insights/dataCollectionRules",
        "apiVersion": RULES_API,
        "name": value(variable("name")),
        "location": value(parameter("workspaceLocation")),
        "dependsOn": [value(_TABLE), value(_ENDPOINT)],
        "properties": {
            "dataCollectionEndpointId": value(_ENDPOINT),
            "streamDeclarations": {
                STREAM: {
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
                    "streams": [STREAM],
                    "destinations": ["workspace"],
                    "transformKql": transform(stream),
                    "outputStream": f"Custom-{TABLE}",
                }
            ],
        },
    }


def transform(stream: StreamDecl) -> str:
    """The function's transform, between two steps that add what the function adds."""
    first, rest = one_line(stream.transform).split("|", maxsplit=1)
    return f"{first.strip()} | {_BEFORE} |{rest} | {_AFTER}"


def _page() -> Json:
    path = project.ROOT / "sentinel" / "codeless" / "page.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        "type": "Microsoft.SecurityInsights/dataConnectorDefinitions",
        "apiVersion": _API,
        "name": value(variable("name")),
        "scope": value(_WORKSPACE),
        "dependsOn": [value(_TABLE)],
        "kind": "Customizable",
        "properties": {"connectorUiConfig": {"id": value(variable("name")), **literal(config)}},
    }


def _poller() -> Json:
    return {
        "type": "Microsoft.SecurityInsights/dataConnectors",
        "apiVersion": _API,
        "name": value(variable("name")),
        "scope": value(_WORKSPACE),
        "dependsOn": [value(_PAGE), value(_RULE), value(_ENDPOINT)],
        "kind": "RestApiPoller",
        "properties": {
            "connectorDefinitionName": value(variable("name")),
            "dataType": TABLE,
            "dcrConfig": {
                "streamName": STREAM,
                "dataCollectionEndpoint": value(
                    f"reference({_ENDPOINT}, '{RULES_API}').logsIngestion.endpoint"
                ),
                "dataCollectionRuleImmutableId": value(
                    f"reference({_RULE}, '{RULES_API}').immutableId"
                ),
            },
            "auth": {
                "type": "Basic",
                "userName": value(parameter("JiraUsername")),
                "password": value(parameter("JiraAccessToken")),
            },
            "request": {
                "apiEndpoint": value(
                    f"concat('https://', {parameter('JiraSite')}, '/rest/api/3/auditing/record')"
                ),
                "httpMethod": "GET",
                "queryWindowInMin": 5,
                "queryTimeFormat": "yyyy-MM-ddTHH:mm:ssZ",
                "startTimeAttributeName": "from",
                "endTimeAttributeName": "to",
                "rateLimitQPS": 2,
                "retryCount": 3,
                "timeoutInSeconds": 60,
                "headers": {"Accept": "application/json"},
            },
            "paging": value(parameter("paging")),
            "response": {"format": "json", "eventsJsonPaths": ["$.records"]},
            "isActive": True,
        },
    }
