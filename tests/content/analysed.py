"""All that Microsoft's parser is asked about in this folder, in one run: it starts slowly."""

from __future__ import annotations

from collections.abc import Mapping

from tests.content.parsed import CODELESS, classic_tables
from tools.asim import workspace_functions
from tools.content import MAX_TRANSFORM_CHARACTERS, load_parsers, load_tables
from tools.kql_check import Query
from tools.template.transforms import one_line

STREAMS = {
    stream.name: (table, stream) for table in load_tables() for stream in table.streams.values()
}
# What Azure has no place for in a transform, and what the fault's message must name.
REFUSED = {
    "source | summarize count()": "SummarizeOperator",
    "source | union source": "UnionOperator",
    "source | extend x = coalesce(id, '')": "coalesce()",
    "source | extend x = bag_pack('a', 1)": "bag_pack()",
    "source | extend x = dynamic({})": "dynamic literal",
    "source | where id in~ ('a')": "in~",
    "source | where id has_any ('a')": "has_any",
    "source | where ide == 'a'": "'ide'",
    "source | parse id with a '-' b '-' c '-' d '-' e '-' f '-' g '-' h '-' i '-' j '-' k": "11",
    "source | where id == '" + "x" * MAX_TRANSFORM_CHARACTERS + "'": "characters",
}
_OURS = {table.name: table.columns for table in load_tables()}
# A workspace with everything, one whose tables have hardly a column, and one without our tables.
WORKSPACES: dict[str, Mapping[str, Mapping[str, str]] | None] = {
    "whole": None,
    "bare": {name: {"TimeGenerated": "datetime"} for name in _OURS},
    "empty": {},
}
# For parsers besides: classic tables with their guids, and those of Microsoft's codeless connectors
# beside ours, alone, and with hardly a column.
PARSED_WORKSPACES: dict[str, Mapping[str, Mapping[str, str]] | None] = {
    **WORKSPACES,
    "classic": {table.name: table.columns for table in classic_tables()},
    "both": {**_OURS, **CODELESS},
    "codeless": CODELESS,
    "bare codeless": {name: {"TimeGenerated": "datetime"} for name in (*_OURS, *CODELESS)},
}


def queries() -> list[Query]:
    """By names: a stream's, a refused text itself, `<alias> in <workspace>`, `alias <alias>`."""
    transforms = [
        Query(name, one_line(stream.transform), transform=stream.columns)
        for name, (_, stream) in STREAMS.items()
    ]
    columns = {"TimeGenerated": "datetime", "id": "string"}
    refused = [Query(text, text, transform=columns) for text in REFUSED]
    parsers = [
        Query(f"{parser.alias} in {name}", parser.body, tables=tables)
        for parser in load_parsers()
        for name, tables in PARSED_WORKSPACES.items()
    ]
    functions = [
        Query(f"{function.alias} in {name}", function.alias, tables=tables)
        for function in workspace_functions()
        for name, tables in WORKSPACES.items()
    ]
    aliases = [Query(f"alias {parser.alias}", parser.alias) for parser in load_parsers()]
    return [*transforms, *refused, *parsers, *functions, *aliases]
