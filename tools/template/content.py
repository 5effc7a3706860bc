"""The content of Microsoft Sentinel: parsers, analytics rules, Data connectors pages, a workbook.

Each is a readable file under sentinel/. Each connector's content is one nested deployment into
the workspace's resource group, made once: a rule that a person has tuned is not written over
by the next deployment. Which have been made stands in tags of the app's resource group.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tools import project
from tools.asim import custom_functions, load_asim
from tools.content import Parser, load_parsers
from tools.template.arm import (
    OWN_GROUP,
    TABLES_API,
    Group,
    Json,
    literal,
    nested,
    parameter,
    quoted,
    resource_id,
    value,
    variable,
)
from tools.template.ingestion import TABLES_DEPLOYMENT
from tools.template.sections import Section, health, sections
from tools.template.settings import SETTINGS_DEPLOYMENT

SENTINEL = project.ROOT / "sentinel"
_RULE_API = "2025-09-01"
_PAGE_API = "2025-09-01"
_OPERATORS = {"gt": "GreaterThan", "lt": "LessThan", "eq": "Equal", "ne": "NotEqual"}
_WORKSPACE = resource_id("Microsoft.OperationalInsights/workspaces", parameter("workspaceName"))
# What a rule's file may leave out, as Azure wants it said.
_RULE_DEFAULTS: Json = {"suppressionEnabled": False, "suppressionDuration": "PT5H"}
_RULE_MEMBERS = (
    "severity",
    "query",
    "queryFrequency",
    "queryPeriod",
    "triggerOperator",
    "triggerThreshold",
    "suppressionEnabled",
    "suppressionDuration",
    "tactics",
    "entityMappings",
    "customDetails",
    "alertDetailsOverride",
    "eventGroupingSettings",
    "incidentConfiguration",
)


def resources(group: Group) -> list[Json]:
    """A deployment for each connector's content, and the note of which have been made.

    ``group`` is the workspace's resource group.
    """
    return [*(_content_of(section, group) for section in sections()), _installed(group)]


def variables() -> Json:
    """Which content there is to install: everything not noted as installed, unless told."""
    tags = "coalesce(tryGet(resourceGroup(), 'tags'), createObject())"
    marks = {
        f"mark{section.key}": value(f"concat({parameter('namePrefix')}, '-{section.key}')")
        for section in sections()
    }
    return {"installed": value(tags), **marks, **_wanted()}


def _wanted() -> Json:
    choice = parameter("sentinelContent")
    wanted = {}
    for section in sections():
        missing = f"not(contains({variable('installed')}, {variable('mark' + section.key)}))"
        asked = f"or(equals({choice}, 'always'), and(equals({choice}, 'once'), {missing}))"
        on = f"and({section.condition}, {asked})" if section.condition else asked
        wanted[f"content{section.key}"] = value(on)
    return wanted


def _content_of(section: Section, group: Group) -> Json:
    parsers = [_parser(parser) for parser in load_parsers() if _belongs(parser.alias, section)]
    for asim in load_asim():
        if _belongs(asim.product, section):
            parsers += [_parser(asim.plain), _parser(asim.filtering)]
    # They name parsers of several connectors, so they are deployed with what is always there.
    customs = [_custom(each) for each in custom_functions()] if section == health() else []
    rules = [_rule(rule) for rule in _files("rules", section)]
    pages = [_page(page) for page in _files("connectors", section)]
    workbooks = [_workbook(workbook) for workbook in _files("workbooks", section)]
    named = {
        "workspaceName": ("string", "The workspace.", parameter("workspaceName")),
        "deployment": ("string", "Tells this deployment's content apart.", variable("unique")),
    }
    if parsers:
        named["installParsers"] = ("bool", "Whether to.", parameter("installParsers"))
    if customs:
        named["installParsers"] = ("bool", "Whether to.", parameter("installParsers"))
        chosen = parameter("asimCustomFunctions")
        named["asimCustomFunctions"] = ("bool", "Whether to make these too.", chosen)
    if rules:
        named["enableRules"] = ("bool", "Whether rules are on.", parameter("enableRules"))
    if workbooks:
        named["location"] = ("string", "The workspace's.", parameter("workspaceLocation"))
    return nested(
        _deployment(section),
        condition=variable(f"content{section.key}"),
        group=group,
        # A rule is refused while Sentinel does not see the table that it queries, which may take
        # minutes after the table was made: so content comes after the app, not beside it.
        depends_on=[
            group.nested_id(TABLES_DEPLOYMENT),
            OWN_GROUP.nested_id(SETTINGS_DEPLOYMENT),
        ],
        parameters={name: expression for name, (_, _, expression) in named.items()},
        template={
            "parameters": {
                name: {"type": kind, "metadata": {"description": description}}
                for name, (kind, description, _) in named.items()
            },
            "resources": [
                *parsers,
                *customs,
                *(_after(rule, parsers) for rule in rules),
                *(_after(page, parsers) for page in pages),
                *workbooks,
            ],
        },
    )


def _deployment(section: Section) -> str:
    return f"content-{section.key.lower()}"


def _belongs(name: str, section: Section) -> bool:
    """A parser is named for its connector, with more behind it or not; the longest name counts."""
    if any(name.startswith(table.removesuffix("_CL")) for table in health().tables):
        return section.key == health().key
    keys = [each.key for each in sections() if name.startswith(each.key)]
    if not keys:
        raise ValueError(f"{name}.kql: its name begins with no connector's")
    return section.key == max(keys, key=len)


def _files(folder: str, section: Section) -> list[Json]:
    """The YAML files of a folder that say they belong to ``section``, by file name."""
    found = []
    for path in sorted((SENTINEL / folder).glob("*.yaml")):
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        if data.get("connector") not in {known.key for known in sections()}:
            raise ValueError(f"{path.name}: `connector` names no section of the template")
        if data["connector"] == section.key:
            found.append({**data, "_path": path})
    return found


def _after(resource: Json, parsers: Iterable[Json]) -> Json:
    names = [parser["name"].strip("[]") for parser in parsers]
    return {
        **resource,
        "dependsOn": [
            value(
                f"resourceId('Microsoft.OperationalInsights/workspaces/savedSearches', "
                f"{parameter('workspaceName')}, {quoted(_last_segment(name))})"
            )
            for name in names
        ],
    }


def _last_segment(name_expression: str) -> str:
    match = re.search(r"'/([^']+)'\)$", name_expression)
    assert match is not None, name_expression  # noqa: S101 - made a few lines below
    return match[1]


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


def _custom(function: Parser) -> Json:
    """A function that an owner may have already: made only where the deployment is told to."""
    both = f"and({parameter('installParsers')}, {parameter('asimCustomFunctions')})"
    return {**_parser(function), "condition": value(both)}


def _rule(rule: Mapping[str, Any]) -> Json:
    data = {**_RULE_DEFAULTS, **rule}
    data["triggerOperator"] = _OPERATORS.get(data["triggerOperator"], data["triggerOperator"])
    for name in ("queryFrequency", "queryPeriod", "suppressionDuration"):
        data[name] = duration(data[name])
    return {
        "type": "Microsoft.SecurityInsights/alertRules",
        "apiVersion": _RULE_API,
        "name": value(f"guid({parameter('deployment')}, {quoted(rule['id'])})"),
        "scope": value(_WORKSPACE),
        "kind": "Scheduled",
        "properties": {
            "displayName": rule["name"],
            "description": rule["description"].strip(),
            "enabled": value(parameter("enableRules")),
            **{
                name: literal(data[name])
                for name in _RULE_MEMBERS
                if data.get(name) not in ([], None)
            },
            "techniques": rule.get("relevantTechniques", []),
        },
    }


def duration(text: str) -> str:
    """``5m``, ``1h`` and ``14d``, as Sentinel's rule files write them, in ISO 8601."""
    short = re.fullmatch(r"(\d+)([mhd])", text)
    if short is None:
        return text
    amount, unit = short.groups()
    return f"P{amount}D" if unit == "d" else f"PT{amount}{unit.upper()}"


def _page(page: Mapping[str, Any]) -> Json:
    name = f"concat({quoted(page['id'] + '-')}, {parameter('deployment')})"
    config = {k: v for k, v in page.items() if k not in ("id", "connector", "_path")}
    return {
        "type": "Microsoft.SecurityInsights/dataConnectorDefinitions",
        "apiVersion": _PAGE_API,
        "name": value(name),
        "scope": value(_WORKSPACE),
        "kind": "Customizable",
        "properties": {"connectorUiConfig": {"id": value(name), **literal(config)}},
    }


def _workbook(workbook: Mapping[str, Any]) -> Json:
    path: Path = workbook["_path"]
    data = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return {
        "type": "Microsoft.Insights/workbooks",
        "apiVersion": "2023-06-01",
        "name": value(f"guid({parameter('deployment')}, {quoted(workbook['id'])})"),
        "location": value(parameter("location")),
        "kind": "shared",
        "properties": {
            "displayName": workbook["name"],
            "description": workbook.get("description", "").strip(),
            "category": "sentinel",
            "sourceId": value(_WORKSPACE),
            "serializedData": json.dumps(data, ensure_ascii=False, separators=(",", ":")),
        },
    }


def _installed(group: Group) -> Json:
    """Notes in the app's resource group's tags what is installed, once it is."""
    marks = []
    for section in sections():
        mark = f"createObject({variable('mark' + section.key)}, {parameter('packageVersion')})"
        marks.append(f"if({variable('content' + section.key)}, {mark}, createObject())")
    return {
        "type": "Microsoft.Resources/tags",
        "apiVersion": "2022-09-01",
        "name": "default",
        "dependsOn": [value(group.nested_id(_deployment(section))) for section in sections()],
        "properties": {"tags": value(f"union({variable('installed')}, {', '.join(marks)})")},
    }
