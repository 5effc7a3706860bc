"""Parsers: the functions of sentinel/parsers and sentinel/asim as saved searches."""

from __future__ import annotations

from tools import asim
from tools.content import Parser, load_parsers
from tools.template.arm import TABLES_API, Json, literal, parameter, value
from tools.template.sections import Section, health, sections


def of_section(section: Section) -> list[Json]:
    """A section's functions, by file name: its own, then those that speak ASIM."""
    made = [_parser(each) for each in load_parsers() if _belongs(each.alias, section)]
    for each in asim.load_asim():
        if _belongs(each.product, section):
            made += [_parser(each.plain), _parser(each.filtering)]
    return made


def custom_functions() -> list[Json]:
    """Functions that an owner may have already: made only where the deployment is told to."""
    both = f"and({parameter('installParsers')}, {parameter('asimCustomFunctions')})"
    return [{**_parser(each), "condition": value(both)} for each in asim.custom_functions()]


def _belongs(name: str, section: Section) -> bool:
    """A parser is named for its connector, with more behind it or not; the longest name counts."""
    if any(name.startswith(table.removesuffix("_CL")) for table in health().tables):
        return section.key == health().key
    keys = [each.key for each in sections() if name.startswith(each.key)]
    if not keys:
        raise ValueError(f"{name}.kql: its name begins with no connector's")
    return section.key == max(keys, key=len)


def _parser(parser: Parser) -> Json:
    # One id for all deployments: a workspace can hold a function of one name only once.
    return {
        "condition": value(parameter("installParsers")),
        "type": "Microsoft.OperationalInsights/workspaces/savedSearches",
        "apiVersion": TABLES_API,
        "name": value(
            f"concat({parameter('workspaceName')}, '/security-log-connectors-{parser.alias}')"
        ),
        "properties": {
            "category": "Security log connectors",
            "displayName": parser.alias,
            "functionAlias": parser.alias,
            **({"functionParameters": parser.signature} if parser.parameters else {}),
            "query": literal(parser.body),
            "version": 2,
            # Without it, writing a saved search that exists answers 409 NewerDataExists; at the
            # resource's level Azure refuses it.
            "etag": "*",
        },
    }
