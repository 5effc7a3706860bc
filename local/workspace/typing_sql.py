"""SQL that types a stream's records and the result of its transform.

A value of another type than its column's becomes null silently, as in Azure Monitor; a string
column has no nulls, it is empty.
https://learn.microsoft.com/azure/azure-monitor/essentials/data-collection-rule-structure
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

# Azure Monitor cuts a field beyond 64 KB.
MAX_FIELD_BYTES = 65_536

DUCKDB_TYPES = {
    "string": "VARCHAR",
    "int": "INTEGER",
    "long": "BIGINT",
    "real": "DOUBLE",
    "boolean": "BOOLEAN",
    "dynamic": "JSON",
    "datetime": "TIMESTAMP",
    # Of tables that the Data Collector made; a stream has text.
    "guid": "UUID",
}
_WHOLE = "('BIGINT', 'UBIGINT', 'HUGEINT', 'UHUGEINT')"


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """A value as a literal of SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def source(columns: Mapping[str, str]) -> str:
    """A query over the JSON texts ``$1`` that gives a stream's declared columns."""
    # Extract all fields of a record at once: each json_extract parses the text again.
    paths = ", ".join("'" + f'$."{name}"'.replace("'", "''") + "'" for name in columns)
    typed = ", ".join(
        f"{_typed(f'field[{index}]', kind)} AS {quoted(name)}"
        for index, (name, kind) in enumerate(columns.items(), 1)
    )
    fields = f"SELECT json_extract(record::JSON, [{paths}]) AS field FROM unnest($1) AS r(record)"
    return f"SELECT {typed} FROM ({fields})"


def _typed(value: str, kind: str) -> str:
    text, type_ = f"({value} ->> '$')", f"json_type({value})"
    match kind:
        case "string":
            return f"CASE WHEN {type_} = 'VARCHAR' THEN {text} ELSE '' END"
        case "dynamic":
            return f"CASE WHEN {type_} <> 'NULL' THEN {value} END"
        case "boolean":
            return f"CASE WHEN {type_} = 'BOOLEAN' THEN {text} = 'true' END"
        case "datetime":
            # A cast to a plain TIMESTAMP would ignore the offset.
            moment = f"TRY_CAST({text} AS TIMESTAMPTZ) AT TIME ZONE 'UTC'"
            return f"CASE WHEN {type_} = 'VARCHAR' THEN {moment} END"
        case "real":
            numbers = f"({type_} IN {_WHOLE} OR {type_} = 'DOUBLE')"
            return f"CASE WHEN {numbers} THEN TRY_CAST({text} AS DOUBLE) END"
    return f"CASE WHEN {type_} IN {_WHOLE} THEN TRY_CAST({text} AS {DUCKDB_TYPES[kind]}) END"


def stored(column: str, kind: str) -> str:
    """A column of the transform's result as its table stores it."""
    value = f"TRY_CAST({quoted(column)} AS {DUCKDB_TYPES[kind]})"
    return f"coalesce({value}, '')" if kind == "string" else value


def cut(column: str, kind: str) -> str:
    """A stored column with at most 64 KB, never ending inside a character.

    A dynamic value that is cut is no longer JSON: keep it as text.
    """
    name = quoted(column)
    if kind not in ("string", "dynamic"):
        return name
    data = f"encode({name}::VARCHAR)"
    ends = ", ".join(
        f"TRY(decode({data}[1:{end}]))" for end in range(MAX_FIELD_BYTES, MAX_FIELD_BYTES - 4, -1)
    )
    short = f"coalesce({ends})"
    short = f"to_json({short})" if kind == "dynamic" else short
    return f"CASE WHEN {too_long(column)} THEN {short} ELSE {name} END"


def too_long(column: str) -> str:
    """Whether a text or dynamic column is over 64 KB."""
    return f"strlen({quoted(column)}::VARCHAR) > {MAX_FIELD_BYTES}"
