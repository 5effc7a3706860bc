"""The workspace's tables: made new, or given the columns that they lack.

https://learn.microsoft.com/rest/api/loganalytics/tables/create-or-update
"""

from __future__ import annotations

from collections.abc import Sequence

from tools.content import Table
from tools.template.arm import (
    TABLES_API,
    Group,
    Json,
    create_object,
    declare,
    either,
    nested,
    parameter,
    quoted,
    value,
    variable,
)
from tools.template.optional_columns import OptionalColumn, of_table, optional_columns
from tools.template.sections import health, section_of_table, sections

TABLES_DEPLOYMENT = "tables"
_TABLE_TYPES = {"datetime": "dateTime"}
_EACH = "lambdaVariables('column')"


def variables(tables: Sequence[Table]) -> Json:
    """The columns of each table that every deployment wants."""
    return {
        f"columns{table.name}": [
            {"name": name, "type": _TABLE_TYPES.get(kind, kind)}
            for name, kind in table.columns.items()
            if name not in table.optional_columns
        ]
        for table in tables
    }


def table_id(table: Table, group: Group) -> str:
    """The expression of a table's id."""
    return group.resource_id(
        "Microsoft.OperationalInsights/workspaces/tables",
        parameter("workspaceName"),
        quoted(table.name),
    )


def plans(group: Group) -> str:
    """The expression of each table's plan by its name, to be used after the tables' deployment."""
    return f"reference({group.nested_id(TABLES_DEPLOYMENT)}, '2024-03-01').outputs.plans.value"


def column_count(table: Table, group: Group) -> str:
    """The expression of how many columns a migrated table is going to have; 0 for another one."""
    section = section_of_table(table.name)
    migrated = f"contains({parameter('migratedTables')}, {quoted(table.name)})"
    if section.condition:
        migrated = f"and({section.condition}, {migrated})"
    now = f"reference({table_id(table, group)}, '{TABLES_API}')"
    there, ours = f"{now}.schema.columns", variable(f"columns{table.name}")
    count = f"add(length({there}), length({_missing(table, there, _standard(now), ours=ours)}))"
    return either(migrated, count, "0")


def resource(tables: Sequence[Table], group: Group) -> Json:
    """A deployment into the workspace's own resource group.

    Each table's parameter holds what the table is now, where it is known to exist: Azure is
    given all of its columns again, since it drops what a request leaves out.
    """
    given = {
        "workspaceName": parameter("workspaceName"),
        "tablePlan": parameter("tablePlan"),
        **{column.parameter: parameter(column.parameter) for column in optional_columns()},
    }
    declared: Json = {
        "workspaceName": declare("string", "The workspace."),
        "tablePlan": declare("string", "The plan of a table that is new."),
        **{
            column.parameter: declare("bool", f"Whether {column.table} gets {column.name}.")
            for column in optional_columns()
        },
    }
    for section in sections():
        if section.condition:
            given[section.use] = section.condition
            declared[section.use] = declare("bool", f"Whether {section.key}'s tables are wanted.")
    for table in tables:
        given[table.name] = _as_it_is(table, group)
        declared[table.name] = declare("object", f"{table.name} as it is now; empty if it is new.")
        given[f"columns{table.name}"] = variable(f"columns{table.name}")
        declared[f"columns{table.name}"] = declare("array", f"The columns {table.name} needs.")
    plans = create_object({table.name: _plan(table) for table in tables})
    return nested(
        TABLES_DEPLOYMENT,
        group=group,
        parameters=given,
        template={
            "parameters": declared,
            "resources": [_table(table) for table in tables],
            "outputs": {"plans": {"type": "object", "value": value(plans)}},
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
    return either(known, f"reference({table_id(table, group)}, '{TABLES_API}')", "createObject()")


def _plan(table: Table) -> str:
    now = parameter(table.name)
    # Rules on the connectors' health need a table that rules can read.
    new = "'Analytics'" if table.name in health().tables else parameter("tablePlan")
    return either(f"empty({now})", new, f"{now}.plan")


def _table(table: Table) -> Json:
    section = section_of_table(table.name)
    now, each = parameter(table.name), "lambdaVariables('kept')"
    there = either(f"empty({now})", "createArray()", f"{now}.schema.columns")
    kept = f"map({there}, lambda('kept', createObject('name', {each}.name, 'type', {each}.type)))"
    standard = either(f"empty({now})", "createArray()", _standard(now))
    ours = _as_plan_allows(table, parameter(f"columns{table.name}"), _plan(table))
    missing = _missing(table, there, standard, ours=ours)
    return {
        **({"condition": value(parameter(section.use))} if section.condition else {}),
        "type": "Microsoft.OperationalInsights/workspaces/tables",
        "apiVersion": TABLES_API,
        "name": value(f"concat({parameter('workspaceName')}, '/{table.name}')"),
        "properties": {
            "plan": value(_plan(table)),
            "retentionInDays": value(_retention(now, "retentionInDays")),
            "totalRetentionInDays": value(_retention(now, "totalRetentionInDays")),
            "schema": {
                "name": table.name,
                "description": table.description,
                "columns": value(f"concat({kept}, {missing})"),
            },
        },
    }


def _ours(table: Table, ours: str) -> str:
    """The columns that this deployment wants: optional ones only where it is told to."""
    for optional in of_table(table):
        column = {"name": quoted(optional.name), "type": quoted(_type(table, optional))}
        alone = f"createArray({create_object(column)})"
        wanted = either(parameter(optional.parameter), alone, "createArray()")
        ours = f"concat({ours}, {wanted})"
    return ours


def _standard(now: str) -> str:
    """The standard columns of the table ``now``, which no request may name."""
    return f"coalesce(tryGet({now}.schema, 'standardColumns'), createArray())"


def _missing(table: Table, there: str, standard: str, *, ours: str) -> str:
    """Those of our columns that a table lacks which has ``there`` and ``standard``.

    A classic table has Computer, RawData and their like as standard columns: to name them again
    would clash. TimeGenerated is among the columns of every table.
    """
    names = f"map({there}, lambda('have', lambdaVariables('have').name))"
    fixed, name = "lambdaVariables('fixed')", "lambdaVariables('name')"
    standard = f"map({standard}, lambda('fixed', {fixed}.name))"
    standard = f"filter({standard}, lambda('name', not(equals({name}, 'TimeGenerated'))))"
    has_it = f"contains(concat({names}, {standard}), {_EACH}.name)"
    return f"filter({_ours(table, ours)}, lambda('column', not({has_it})))"


def _as_plan_allows(table: Table, ours: str, plan: str) -> str:
    """Text in place of dynamic columns in an Auxiliary table, which knows no such type.

    https://learn.microsoft.com/azure/azure-monitor/logs/create-custom-table-auxiliary
    """
    if not (names := dynamic_columns(table)):
        return ours
    auxiliary = f"equals({plan}, 'Auxiliary')"
    dynamic = f"and({auxiliary}, equals(lambdaVariables('plain').type, 'dynamic'))"
    texts = [
        create_object({"name": quoted(text_twin(name)), "type": quoted("string")}) for name in names
    ]
    added = either(auxiliary, f"createArray({', '.join(texts)})", "createArray()")
    return f"concat(filter({ours}, lambda('plain', not({dynamic}))), {added})"


def dynamic_columns(table: Table) -> Sequence[str]:
    """The columns that an Auxiliary table has as text; the health rows' table is never one."""
    if table.name in health().tables:
        return []
    return [name for name, kind in table.columns.items() if kind == "dynamic"]


def text_twin(column: str) -> str:
    """The name of the text that stands for a dynamic column in an Auxiliary table."""
    return f"{column}_s"


def _type(table: Table, column: OptionalColumn) -> str:
    kind = table.columns[column.name]
    return _TABLE_TYPES.get(kind, kind)


def _retention(now: str, name: str) -> str:
    """A table's retention as it is: -1 keeps it at the workspace's default.

    Azure chooses that of a new table, and other plans than Analytics fix theirs: null.
    """
    default = f"coalesce(tryGet({now}, '{name}AsDefault'), false())"
    days = either(default, "-1", f"{now}.{name}")
    plain = either(f"equals({now}.plan, 'Analytics')", days, "null()")
    return either(f"empty({now})", "null()", plain)
