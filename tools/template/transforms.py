"""The transforms of the data collection rules: sentinel/transforms, and what a deployment adds.

A transform is stored whole in a variable. Expressions behind it add the filter, the casts and the
cuts that depend on parameters and on what a table is now.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tools.content import StreamDecl, Table
from tools.rule_queries import tokens
from tools.template.arm import (
    TABLES_API,
    Group,
    Json,
    either,
    literal,
    parameter,
    quoted,
    value,
    variable,
)
from tools.template.optional_columns import OptionalColumn, of_table
from tools.template.tables import dynamic_columns, plans, table_id, text_twin

# The column that holds an activity's details whole, beside those that hold its parts.
WHOLE, PART = "DataFields_s", "data_"


def variables(tables: Sequence[Table]) -> Json:
    """Every transform by its variable's name."""
    return {
        _variable_of(stream.name): literal(one_line(stream.transform))
        for table in tables
        for stream in table.streams.values()
    }


def transform(table: Table, stream: StreamDecl, group: Group) -> str:
    """The value of a flow's ``transformKql``; ``group`` is the workspace's resource group.

    The filter comes first: it sees every column that the transform makes, whatever is cut later.
    """
    text = one_line(stream.transform)
    added = [
        _filter(stream.name),
        *_guid_casts(table, text, group),
        *_text_casts(table, stream, group),
        *_cuts(table, text),
        *_activity_cuts(table, text),
    ]
    return value(f"concat({variable(_variable_of(stream.name))}, {', '.join(added)})")


def with_choices(
    table: Table, stream: StreamDecl, *, activity_data: str = "both", predicate: str = ""
) -> str:
    """A stream's transform as a deployment with these choices makes it, on a new table."""
    text = one_line(stream.transform)
    made = text + (f" | where ({predicate})" if predicate else "")
    away = [name for name in table.optional_columns if makes(text, name)]
    made += "".join(f" | project-away {name}" for name in away)
    if not makes(text, WHOLE) or activity_data == "both":
        return made
    cut = [WHOLE] if activity_data == "columns" else activity_parts(table, text)
    return f"{made} | project-away {', '.join(cut)}"


def one_line(kql: str) -> str:
    """A query as Azure stores a transform: on one line, without its comments."""
    code = "".join(word for kind, word in tokens(kql) if kind != "comment")
    return " ".join(line for each in code.splitlines() if (line := each.strip()))


def _variable_of(stream: str) -> str:
    return f"transform{stream.removeprefix('Custom-')}"


def _filter(stream: str) -> str:
    """The predicate that a person gave for the stream, in parentheses that it cannot leave."""
    filters = parameter("filters")
    given = f"concat(' | where (', {filters}[{quoted(stream)}], ')')"
    return either(f"contains({filters}, {quoted(stream)})", given, "''")


def _guid_casts(table: Table, text: str, group: Group) -> list[str]:
    """The cast of columns that are guids in a table that the Data Collector made.

    A new table, and a column that a deployment added, has strings; a transform's type must equal
    its column's.
    """
    names = [name for name in table.columns if name.endswith("_g") and makes(text, name)]
    if not names:
        return []
    now = f"reference({table_id(table, group)}, '{TABLES_API}').schema.columns"
    column, guid, name = (f"lambdaVariables('{each}')" for each in ("column", "guid", "name"))
    guids = f"filter({now}, lambda('column', equals({column}.type, 'guid')))"
    guids = f"map({guids}, lambda('guid', {guid}.name))"
    ours = f"createArray({', '.join(map(quoted, names))})"
    # Each lambda of an expression has a variable's name of its own: Azure knows one scope.
    cast = f"filter({ours}, lambda('wanted', contains({guids}, lambdaVariables('wanted'))))"
    casts = f"map({cast}, lambda('name', concat(', ', {name}, ' = toguid(', {name}, ')')))"
    # Name a column that is always there first: an extend of nothing is an error.
    begin = quoted(" | extend TimeGenerated = TimeGenerated")
    migrated = f"contains({parameter('migratedTables')}, {quoted(table.name)})"
    return [either(migrated, f"concat({begin}, join({casts}, ''))", "''")]


def _text_casts(table: Table, stream: StreamDecl, group: Group) -> list[str]:
    """What makes texts of dynamic columns for an Auxiliary table."""
    names = [name for name in dynamic_columns(table) if name in stream.columns]
    if not names:
        return []
    cast = ", ".join(f"{text_twin(name)} = tostring({name})" for name in names)
    auxiliary = f"equals({plans(group)}.{table.name}, 'Auxiliary')"
    texts = f" | extend {cast} | project-away {', '.join(names)}"
    return [either(auxiliary, quoted(texts), "''")]


def _cuts(table: Table, text: str) -> list[str]:
    """What takes away an optional column, where a deployment leaves it out."""
    return [
        either(_included(column, text), "''", quoted(f" | project-away {column.name}"))
        for column in of_table(table)
        if makes(text, column.name)
    ]


def _included(column: OptionalColumn, text: str) -> str:
    included = parameter(column.parameter)
    if makes(text, WHOLE) and column.name.startswith(PART):
        return f"and({included}, not({_only('json')}))"
    return included


def _activity_cuts(table: Table, text: str) -> list[str]:
    """What takes away one of the two copies of an activity's details, as ``activityData`` says."""
    if not makes(text, WHOLE):
        return []
    parts = ", ".join(activity_parts(table, text))
    away = either(_only("json"), quoted(f" | project-away {parts}"), "''")
    return [either(_only("columns"), quoted(f" | project-away {WHOLE}"), away)]


def _only(choice: str) -> str:
    return f"equals({parameter('activityData')}, {quoted(choice)})"


def activity_parts(table: Table, text: str) -> Sequence[str]:
    """The columns of an activity's details that every deployment's transform makes."""
    optional = set(table.optional_columns)
    return [
        name
        for name in table.columns
        if name.startswith(PART) and name not in optional and makes(text, name)
    ]


def makes(text: str, column: str) -> bool:
    """Whether a transform assigns ``column``."""
    return re.search(rf"\b{column}\s*=", text) is not None
