"""Analyses queries, parsers and transforms with Microsoft's own KQL parser, from npm.

The parser says what is wrong and which columns a query results in, given the tables that it may
see. For a transform there is besides the closed list of what Azure Monitor runs at ingestion:
https://learn.microsoft.com/azure/azure-monitor/data-collection/data-collection-transformations-kql
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.asim import workspace_functions
from tools.content import MAX_TRANSFORM_CHARACTERS, load_parsers, load_tables
from tools.environment import node_command
from tools.project import ROOT

# Columns of every table in a workspace, beside its own.
EVERY_TABLE = {
    "TenantId": "string",
    "Type": "string",
    "SourceSystem": "string",
    "_ResourceId": "string",
    "_SubscriptionId": "string",
    "_ItemId": "string",
    "_TimeReceived": "datetime",
    "_BilledSize": "real",
    "_IsBillable": "string",
}

_LACKING = {"geo_location": ("string", "dynamic"), "parse_cef_dictionary": ("string", "dynamic")}

TRANSFORM_OPERATORS = frozenset(
    "ExtendOperator ProjectOperator ProjectAwayOperator ProjectRenameOperator FilterOperator "
    "ParseOperator PrintOperator".split()
)
TRANSFORM_FUNCTIONS = frozenset(
    """
    binary_and binary_or binary_not binary_shift_left binary_shift_right binary_xor
    tobool todatetime todouble toreal toguid toint tolong tostring totimespan
    ago datetime_add datetime_diff datetime_part dayofmonth dayofweek dayofyear endofday
    endofmonth endofweek endofyear getmonth getyear hourofday make_datetime make_timespan now
    startofday startofmonth startofweek startofyear weekofyear
    array_concat array_length pack_array pack parse_json parse_xml zip
    abs bin floor ceiling exp exp10 exp2 isfinite isinf isnan log log10 log2 pow round sign
    case iif max_of min_of
    base64_encodestring base64_decodestring countof extract extract_all indexof isempty
    isnotempty split strcat strcat_delim strlen substring tolower toupper hash_sha256
    gettype isnotnull isnull columnifexists parse_cef_dictionary geo_location not
    """.split()
)
# What a transform may not have although it is neither an operator nor a function.
_REFUSED_SYNTAX = {
    "DynamicExpression": "a dynamic literal: use parse_json('…')",
    "HasAnyExpression": "has_any",
    "HasAllExpression": "has_all",
    "InCsExpression": "in~",
    "NotInCsExpression": "!in~",
    "BetweenExpression": "between",
    "NotBetweenExpression": "!between",
}
_MAX_PARSE_COLUMNS = 10


@dataclass(frozen=True, slots=True)
class Query:
    """What is to be analysed.

    ``tables`` is the workspace that it sees, None for all of ours; ``parsers`` says whether our
    functions, with parameters and without, are there too. ``transform`` gives a stream's columns:
    the text is that stream's transform. ``open_tables`` are tables of others, of which more columns
    may exist than are listed.
    """

    name: str
    text: str
    tables: Mapping[str, Mapping[str, str]] | None = None
    parsers: bool = True
    transform: Mapping[str, str] | None = None
    open_tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Something found in a query; ``severity`` is error, warning or suggestion."""

    severity: str
    message: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the parser says of a query; ``columns`` is None where it results in no table."""

    name: str
    diagnostics: list[Diagnostic]
    columns: dict[str, str] | None

    @property
    def errors(self) -> list[str]:
        """The errors, with their places."""
        return [
            f"{self.name}:{found.line}:{found.column}: {found.message}"
            for found in self.diagnostics
            if found.severity == "error"
        ]


def analyse(queries: Iterable[Query]) -> list[Analysis]:
    """What Microsoft's parser says of each, in their order; one run of Node for them all."""
    asked = list(queries)
    tables = {table.name: dict(table.columns) for table in load_tables()}
    functions = [*load_parsers(), *workspace_functions()]
    parsers = {each.alias: [each.signature, each.body] for each in functions}
    answers = _run(
        {
            "modules": _modules(),
            "everyTable": EVERY_TABLE,
            "lacking": _LACKING,
            "queries": [_asked(query, tables, parsers) for query in asked],
        }
    )
    return [_analysis(query, answer) for query, answer in zip(asked, answers, strict=True)]


def _modules() -> list[str]:
    given = os.environ.get("NODE_PATH", "").split(os.pathsep)
    return [str(ROOT / "node_modules"), *filter(None, given)]


def _asked(
    query: Query, tables: Mapping[str, Mapping[str, str]], parsers: Mapping[str, list[str]]
) -> dict[str, Any]:
    if query.transform is not None:
        return {
            "name": query.name,
            "text": query.text,
            "tables": {},
            "source": {"source": query.transform},
            "functions": {},
            "uses": True,
        }
    return {
        "name": query.name,
        "text": query.text,
        "tables": tables if query.tables is None else query.tables,
        "openTables": query.open_tables,
        "functions": parsers if query.parsers else {},
    }


def _run(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    script = Path(__file__).with_name("kql_check.mjs")
    done = subprocess.run(
        [*node_command(), str(script)],
        input=json.dumps(request),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the KQL parser ended with {done.returncode}: {done.stderr.strip()}")
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def _analysis(query: Query, answer: Mapping[str, Any]) -> Analysis:
    found = [Diagnostic(**diagnostic) for diagnostic in answer["diagnostics"]]
    if query.transform is not None:
        found += _refused(answer["uses"])
        if len(query.text) > MAX_TRANSFORM_CHARACTERS:
            message = f"{len(query.text)} characters; Azure takes {MAX_TRANSFORM_CHARACTERS}"
            found.append(Diagnostic("error", message, 1, 1))
    columns = answer["columns"]
    return Analysis(query.name, found, None if columns is None else dict(columns))


def _refused(uses: Sequence[Mapping[str, Any]]) -> list[Diagnostic]:
    """What of a transform Azure Monitor does not run."""
    found = []
    for use in uses:
        name, message = use["name"], None
        if use["use"] == "function" and name not in TRANSFORM_FUNCTIONS:
            message = f"{name}() is not among the functions of a transform"
        elif use["use"] == "parse" and int(name) > _MAX_PARSE_COLUMNS:
            message = f"parse makes {name} columns; in a transform at most {_MAX_PARSE_COLUMNS}"
        elif use["use"] == "syntax" and name in _REFUSED_SYNTAX:
            message = f"{_REFUSED_SYNTAX[name]} is not to be had in a transform"
        elif name.endswith("Operator") and name not in TRANSFORM_OPERATORS:
            message = f"{name} is not among the operators of a transform"
        if message:
            found.append(Diagnostic("error", message, use["line"], use["column"]))
    return found
