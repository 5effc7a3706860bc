"""ASIM parsers: the functions by which queries read several vendors' logs in one schema.

sentinel/asim/<Schema><Product>.kql is a filtering parser's query (``vim<Schema><Product>``). What
follows from it stands nowhere else: its parameters, which are its schema's, the plain parser
(``ASim<Schema><Product>``), and the functions by which a workspace's unifying parsers find both.
https://learn.microsoft.com/azure/sentinel/normalization-manage-parsers
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tools.content import SENTINEL, Parameter, Parser, load_yaml

_START = Parameter("starttime", "datetime", "datetime(null)")
_END = Parameter("endtime", "datetime", "datetime(null)")
_RESULT = Parameter("eventresult", "string", "'*'")
_DISABLED = Parameter("disabled", "bool", "false")
_PACK = Parameter("pack", "bool", "false")

# The filters of each schema, in the order in which its unifying parser declares them.
_FILTERS: Mapping[str, str] = {
    "Authentication": """
        username_has_any targetappname_has_any srcipaddr_has_any_prefix srchostname_has_any
        eventtype_in eventresultdetails_in eventresult
    """,
    "AuditEvent": """
        srcipaddr_has_any_prefix actorusername_has_any operation_has_any eventtype_in eventresult
        object_has_any newvalue_has_any
    """,
    "UserManagement": """
        srcipaddr_has_any_prefix targetusername_has_any actorusername_has_any eventtype_in
    """,
    "AlertEvent": """
        ipaddr_has_any_prefix hostname_has_any username_has_any attacktactics_has_any
        attacktechniques_has_any threatcategory_has_any alertverdict_has_any eventseverity_has_any
    """,
}
SCHEMAS = tuple(_FILTERS)
# The tables of Azure into which sources may write in a schema directly.
# https://learn.microsoft.com/azure/sentinel/normalization-ingest-time
_NATIVE_TABLES = {
    "Authentication": "ASimAuthenticationEventLogs",
    "AuditEvent": "ASimAuditEventLogs",
    "UserManagement": "ASimUserManagementActivityLogs",
    "AlertEvent": "ASimAlertEventLogs",
}


@dataclass(frozen=True, slots=True)
class AsimParser:
    """A source's parsers of one schema: filtering, and plain."""

    schema: str
    product: str
    filtering: Parser
    plain: Parser


def parameters(schema: str) -> tuple[Parameter, ...]:
    """The parameters of a schema's filtering parsers: time, filters, and two switches."""
    filters = [
        _RESULT if name == _RESULT.name else Parameter(name, "dynamic", "dynamic([])")
        for name in _FILTERS[schema].split()
    ]
    return (_START, _END, *filters, _DISABLED, _PACK)


@functools.cache
def load_asim() -> tuple[AsimParser, ...]:
    """Every ASIM parser of sentinel/asim, by file name.

    Raises ``ValueError`` that names the file whose name begins with no schema.
    """
    return tuple(
        _asim_parser(path.stem, path.read_text(encoding="utf-8"))
        for path in sorted((SENTINEL / "asim").glob("*.kql"))
    )


def asim_functions() -> list[Parser]:
    """The plain and the filtering function of each ASIM parser."""
    return [function for parser in load_asim() for function in (parser.plain, parser.filtering)]


def custom_functions() -> list[Parser]:
    """The functions by which Microsoft's unifying parsers take ours in: two for each schema.

    A workspace may have them already, with other people's parsers in them: never replace them
    unasked.
    """
    return [
        function
        for schema in SCHEMAS
        if any(parser.schema == schema for parser in load_asim())
        for function in (_custom(schema, plain=True), _custom(schema, plain=False))
    ]


def workspace_functions() -> list[Parser]:
    """The functions of a workspace whose owner added our parsers to the Custom functions.

    Azure's own unifying parsers (``_Im_<Schema>``) are among them, as far as they read what a
    workspace of ours may have: the Custom functions, and the schemas' own tables.
    """
    unifying = [_unifying(schema) for schema in SCHEMAS]
    return [*asim_functions(), *custom_functions(), *unifying]


def custom_line(parser: AsimParser, *, plain: bool) -> str:
    """The line that adds a parser to its schema's Custom function."""
    if plain:
        return f"{parser.plain.alias}(disabled=false)"
    given = [
        "disabled=false" if each == _DISABLED else f"{each.name}={each.name}"
        for each in parameters(parser.schema)
    ]
    return f"{parser.filtering.alias}({', '.join(given)})"


def left_out() -> dict[str, dict[str, str]]:
    """For each vendor, the events that no ASIM parser has, and why."""
    declared = load_yaml(SENTINEL / "asim" / "left-out.yaml")
    return {
        vendor: {str(event): group["why"] for group in groups for event in group["events"]}
        for vendor, groups in declared.items()
    }


def _asim_parser(stem: str, body: str) -> AsimParser:
    schema = next((name for name in SCHEMAS if stem.startswith(name)), None)
    if schema is None:
        raise ValueError(f"{stem}.kql: its name must begin with one of {', '.join(SCHEMAS)}")
    filtering = Parser(f"vim{stem}", body, parameters(schema))
    plain = Parser(
        f"ASim{stem}",
        f"// All rows of {filtering.alias}, without filters.\n"
        f"{filtering.alias}(disabled=disabled, pack=true)\n",
        (_DISABLED,),
    )
    return AsimParser(schema, stem.removeprefix(schema), filtering, plain)


def _custom(schema: str, *, plain: bool) -> Parser:
    lines = [custom_line(parser, plain=plain) for parser in load_asim() if parser.schema == schema]
    body = _union(lines)
    if plain:
        return Parser(f"ASim_{schema}Custom", body, (_DISABLED, _PACK))
    return Parser(f"Im_{schema}Custom", body, parameters(schema))


def _unifying(schema: str) -> Parser:
    given = ", ".join(f"{each.name}={each.name}" for each in parameters(schema))
    body = (
        f"union isfuzzy=true (Im_{schema}Custom({given})), ({_NATIVE_TABLES[schema]} "
        "| where (isnull(starttime) or TimeGenerated >= starttime)"
        " and (isnull(endtime) or TimeGenerated <= endtime))"
    )
    return Parser(f"_Im_{schema}", body, parameters(schema))


def _union(lines: Iterable[str]) -> str:
    joined = ",\n".join(f"    {line}" for line in lines)
    note = "// Add further parsers of your own here, each after a comma."
    return f"{note}\nunion isfuzzy=true\n{joined}\n"
