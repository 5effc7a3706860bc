"""The way into the workspace: endpoint, tables, and a data collection rule for each connector.

https://learn.microsoft.com/azure/azure-monitor/logs/logs-ingestion-api-overview
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tools.content import Table
from tools.template import app
from tools.template.arm import (
    RULES_API,
    TABLES_API,
    Group,
    Json,
    create_object,
    either,
    nested,
    parameter,
    quoted,
    resource_id,
    role_assignment,
    value,
    variable,
)
from tools.template.optional_columns import OptionalColumn, of_table, optional_columns
from tools.template.sections import Section, section_of_table, sections

ENDPOINT = resource_id("Microsoft.Insights/dataCollectionEndpoints", variable("endpoint"))
TABLES_DEPLOYMENT = "tables"
_TABLE_TYPES = {"datetime": "dateTime"}


def rule_id(section: Section) -> str:
    """The expression of the id of a section's data collection rule."""
    return resource_id("Microsoft.Insights/dataCollectionRules", section.rule_name)


def resources(tables: Sequence[Table], group: Group) -> list[Json]:
    """Endpoint, tables, rules, who may send to them, and where their errors are logged.

    ``group`` is the workspace's resource group.
    """
    made = [_endpoint(), _tables(tables, group)]
    for section in sections():
        own = [table for table in tables if table.name in section.tables]
        made.append(_rule(section, own, group))
        made.append(_may_send(section))
        made.append(_errors_logged(section))
    return made


def variables(tables: Sequence[Table]) -> Json:
    """Transforms whose text depends on a parameter; they read best whole."""
    return {
        _variable_of(stream.name): one_line(stream.transform)
        for table in tables
        for stream in table.streams.values()
        if _guids(table, one_line(stream.transform)) or _cuts(table, one_line(stream.transform))
    }


def one_line(kql: str) -> str:
    """A query as Azure stores a transform: on one line, without its comments."""
    lines = (_without_comment(line).strip() for line in kql.splitlines())
    return " ".join(line for line in lines if line)


def _without_comment(line: str) -> str:
    """``line`` up to a ``//`` that is not inside a string."""
    inside = ""
    for at, char in enumerate(line):
        if inside:
            inside = "" if char == inside else inside
        elif char in "'\"":
            inside = char
        elif line.startswith("//", at):
            return line[:at]
    return line


def _endpoint() -> Json:
    return {
        "type": "Microsoft.Insights/dataCollectionEndpoints",
        "apiVersion": RULES_API,
        "name": value(variable("endpoint")),
        "location": value(parameter("workspaceLocation")),
        "properties": {"networkAcls": {"publicNetworkAccess": "Enabled"}},
    }


# ---- tables


def _tables(tables: Sequence[Table], group: Group) -> Json:
    """A deployment into the workspace's own resource group.

    Each table's parameter holds what the table is now, where it is known to exist: Azure is
    given all of its columns again, since it drops what a request leaves out.
    """
    given = {
        "workspaceName": parameter("workspaceName"),
        **{column.parameter: parameter(column.parameter) for column in optional_columns()},
    }
    declared: Json = {
        "workspaceName": {"type": "string", "metadata": {"description": "The workspace."}},
        **{
            column.parameter: {
                "type": "bool",
                "metadata": {"description": f"Whether {column.table} gets {column.name}."},
            }
            for column in optional_columns()
        },
    }
    for section in sections():
        if section.condition:
            given[section.use] = section.condition
            declared[section.use] = {
                "type": "bool",
                "metadata": {"description": f"Whether {section.key}'s tables are wanted."},
            }
    for table in tables:
        given[table.name] = _as_it_is(table, group)
        declared[table.name] = {
            "type": "object",
            "metadata": {"description": f"{table.name} as it is now; empty if it is new."},
        }
    return nested(
        TABLES_DEPLOYMENT,
        group=group,
        parameters=given,
        template={
            "parameters": declared,
            "variables": {table.name: _columns(table) for table in tables},
            "resources": [_table(table) for table in tables],
        },
    )


def _as_it_is(table: Table, group: Group) -> str:
    section = section_of_table(table.name)
    known = (
        f"or(contains({parameter('migratedTables')}, {quoted(table.name)}), "
        f"contains({variable('installed')}, {variable('mark' + section.key)}))"
    )
    if section.condition:
        known = f"and({section.condition}, {known})"
    now = f"reference({_table_id(table, group)}, '{TABLES_API}')"
    return either(known, now, "createObject()")


def _table_id(table: Table, group: Group) -> str:
    return group.resource_id(
        "Microsoft.OperationalInsights/workspaces/tables",
        parameter("workspaceName"),
        quoted(table.name),
    )


def _columns(table: Table) -> list[Json]:
    return [
        {"name": name, "type": _TABLE_TYPES.get(kind, kind)}
        for name, kind in table.columns.items()
        if name not in table.optional_columns
    ]


def _table(table: Table) -> Json:
    section = section_of_table(table.name)
    now, ours = parameter(table.name), variable(table.name)
    for optional in of_table(table):
        column = {"name": quoted(optional.name), "type": quoted(_type(table, optional))}
        alone = f"createArray({create_object(column)})"
        wanted = either(parameter(optional.parameter), alone, "createArray()")
        ours = f"concat({ours}, {wanted})"
    there = either(f"empty({now})", "createArray()", f"{now}.schema.columns")
    each = "lambdaVariables('column')"
    kept = f"map({there}, lambda('column', createObject('name', {each}.name, 'type', {each}.type)))"
    names = f"map({there}, lambda('column', {each}.name))"
    # A classic table has Computer, RawData and their like as standard columns: to name them again
    # would clash. TimeGenerated is among the columns of every table.
    standard = either(
        f"empty({now})",
        "createArray()",
        f"coalesce(tryGet({now}.schema, 'standardColumns'), createArray())",
    )
    standard = f"map({standard}, lambda('column', {each}.name))"
    standard = (
        f"filter({standard}, lambda('name', not(equals(lambdaVariables('name'), 'TimeGenerated'))))"
    )
    names = f"concat({names}, {standard})"
    new = f"filter({ours}, lambda('column', not(contains({names}, {each}.name))))"
    return {
        **({"condition": value(parameter(section.use))} if section.condition else {}),
        "type": "Microsoft.OperationalInsights/workspaces/tables",
        "apiVersion": TABLES_API,
        "name": value(f"concat({parameter('workspaceName')}, '/{table.name}')"),
        "properties": {
            "plan": value(either(f"empty({now})", "'Analytics'", f"{now}.plan")),
            "retentionInDays": value(_analytics_only(now, "retentionInDays")),
            "totalRetentionInDays": value(_analytics_only(now, "totalRetentionInDays")),
            "schema": {
                "name": table.name,
                "description": table.description,
                "columns": value(f"concat({kept}, {new})"),
            },
        },
    }


def _type(table: Table, column: OptionalColumn) -> str:
    kind = table.columns[column.name]
    return _TABLE_TYPES.get(kind, kind)


def _analytics_only(now: str, name: str) -> str:
    """A table's retention as it is; null lets Azure choose. Other plans fix theirs."""
    plain = f"if(equals({now}.plan, 'Analytics'), {now}.{name}, null())"
    return either(f"empty({now})", "null()", plain)


# ---- rules


def _rule(section: Section, tables: Sequence[Table], group: Group) -> Json:
    streams = [(table, stream) for table in tables for stream in table.streams.values()]
    return {
        **({"condition": value(section.condition)} if section.condition else {}),
        "type": "Microsoft.Insights/dataCollectionRules",
        "apiVersion": RULES_API,
        "name": value(section.rule_name),
        "location": value(parameter("workspaceLocation")),
        "dependsOn": [value(ENDPOINT), value(group.nested_id(TABLES_DEPLOYMENT))],
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
                    "transformKql": _transform(table, stream.name, stream.transform, group),
                    "outputStream": f"Custom-{table.name}",
                }
                for table, stream in streams
            ],
        },
    }


def _transform(table: Table, stream: str, kql: str, group: Group) -> str:
    text = one_line(kql)
    if more := [*_casts(table, text, group), *_cuts(table, text)]:
        return value(f"concat({variable(_variable_of(stream))}, {', '.join(more)})")
    return text


def _variable_of(stream: str) -> str:
    return f"transform{stream.removeprefix('Custom-')}"


def _casts(table: Table, transform: str, group: Group) -> list[str]:
    """Expressions of the casts that a transform ends in, where the table has guid columns.

    A table that the Data Collector made has columns of type guid where a new one, and a column
    that a deployment added to it, has strings; a transform's type must equal its column's.
    """
    if not (names := _guids(table, transform)):
        return []
    now = f"reference({_table_id(table, group)}, '{TABLES_API}').schema.columns"
    column, name = "lambdaVariables('column')", "lambdaVariables('name')"
    guids = f"filter({now}, lambda('column', equals({column}.type, 'guid')))"
    guids = f"map({guids}, lambda('column', {column}.name))"
    ours = f"createArray({', '.join(map(quoted, names))})"
    cast = f"filter({ours}, lambda('name', contains({guids}, {name})))"
    casts = f"map({cast}, lambda('name', concat(', ', {name}, ' = toguid(', {name}, ')')))"
    # Name a column that is always there first: an extend of nothing is an error.
    begin = quoted(" | extend TimeGenerated = TimeGenerated")
    migrated = f"contains({parameter('migratedTables')}, {quoted(table.name)})"
    return [either(migrated, f"concat({begin}, join({casts}, ''))", "''")]


def _guids(table: Table, transform: str) -> list[str]:
    return [name for name in table.columns if name.endswith("_g") and _makes(transform, name)]


def _cuts(table: Table, transform: str) -> list[str]:
    """Expressions that take away an optional column, where a deployment leaves it out."""
    return [
        either(parameter(column.parameter), "''", quoted(f" | project-away {column.name}"))
        for column in of_table(table)
        if _makes(transform, column.name)
    ]


def _makes(transform: str, column: str) -> bool:
    return re.search(rf"\b{column}\s*=", transform) is not None


def _may_send(section: Section) -> Json:
    """Only the app may send to its rules, and only a sender to its own."""
    if section.rule_setting is None and section.switch:
        role = role_assignment(
            scope=rule_id(section),
            role=app.MONITORING_METRICS_PUBLISHER,
            principal=parameter(section.switch.name),
            name_of_principal=parameter(section.switch.name),
            depends_on=[rule_id(section)],
        )
    else:
        role = app.app_role(
            scope=rule_id(section),
            role=app.MONITORING_METRICS_PUBLISHER,
            depends_on=[rule_id(section), app.IDENTITY],
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
