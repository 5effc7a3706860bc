"""The content of Microsoft Sentinel: parsers, analytics rules, Data connectors pages, a workbook.

Each is a readable file under sentinel/. Each connector's content is one nested deployment into
the workspace's resource group, made once: a rule that a person has tuned is not written over
by the next deployment. Which have been made stands in tags of the app's resource group.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.content import SENTINEL, load_yaml
from tools.template import parser, rule
from tools.template.arm import (
    OWN_GROUP,
    Group,
    Json,
    declare,
    either,
    literal,
    nested,
    parameter,
    quoted,
    resource_id,
    value,
    variable,
)
from tools.template.sections import Section, health, sections
from tools.template.tables import TABLES_DEPLOYMENT, plans

_PAGE_API = "2025-09-01"
_WORKSPACE = resource_id("Microsoft.OperationalInsights/workspaces", parameter("workspaceName"))


def resources(group: Group) -> list[Json]:
    """A deployment for each connector's content, and notes of which have been made.

    ``group`` is the workspace's resource group.
    """
    made = []
    for section in sections():
        made += [_content_of(section, group), _noted(section, group)]
    return [*made, _noted_again()]


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
    parsers = parser.of_section(section)
    # They name parsers of several connectors, so they are deployed with what is always there.
    customs = parser.custom_functions() if section == health() else []
    rules = [rule.resource(each) for each in rule.of_section(section)]
    pages = [_page(page) for page in _files("connectors", section)]
    workbooks = [_workbook(workbook) for workbook in _files("workbooks", section)]
    named = {
        "workspaceName": ("string", "The workspace.", parameter("workspaceName")),
        "deployment": ("string", "Tells this deployment's content apart.", variable("unique")),
    }
    if parsers or customs:
        named["installParsers"] = ("bool", "Whether to.", parameter("installParsers"))
    if customs:
        chosen = parameter("asimCustomFunctions")
        named["asimCustomFunctions"] = ("bool", "Whether to make these too.", chosen)
    if rules:
        named["enableRules"] = ("bool", "Whether rules are on.", parameter("enableRules"))
        named["plans"] = ("object", "Each table's plan.", plans(group))
    if any("activityData" in each.get("condition", "") for each in rules):
        choice = parameter("activityData")
        named["activityData"] = ("string", "How activities carry their details.", choice)
    if workbooks:
        named["location"] = ("string", "The workspace's.", parameter("workspaceLocation"))
    return nested(
        _deployment(section),
        condition=variable(f"content{section.key}"),
        group=group,
        depends_on=[group.nested_id(TABLES_DEPLOYMENT)],
        parameters={name: expression for name, (_, _, expression) in named.items()},
        template={
            "parameters": {
                name: {"type": kind, "metadata": {"description": description}}
                for name, (kind, description, _) in named.items()
            },
            "resources": [
                *parsers,
                *customs,
                *(_after(each, parsers) for each in rules),
                *(_after(page, parsers) for page in pages),
                *workbooks,
            ],
        },
    )


def _deployment(section: Section) -> str:
    return f"content-{section.key.lower()}"


def _files(folder: str, section: Section) -> list[Json]:
    """The YAML files of a folder that say they belong to ``section``, by file name."""
    found = []
    for path in sorted((SENTINEL / folder).glob("*.yaml")):
        data = load_yaml(path)
        if data.get("connector") not in {known.key for known in sections()}:
            raise ValueError(f"{path.name}: `connector` names no section of the template")
        if data["connector"] == section.key:
            found.append({**data, "_path": path})
    return found


def _after(resource: Json, parsers: Iterable[Json]) -> Json:
    names = [each["name"].strip("[]") for each in parsers]
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


def _noted(section: Section, group: Group) -> Json:
    """Notes in the tags of the app's resource group that a section's content is installed.

    It is written right after that content, so that what is refused elsewhere reinstalls nothing of
    it. A tag is written with all of the group's other tags, as they are at that moment.
    """
    mark = {variable("mark" + section.key): parameter("packageVersion")}
    return _tags(
        f"installed-{section.key.lower()}",
        ", ".join(f"{name}, {version}" for name, version in mark.items()),
        condition=variable(f"content{section.key}"),
        depends_on=[group.nested_id(_deployment(section))],
    )


def _noted_again() -> Json:
    """Notes all of it at the end: two sections that end in one second may overwrite a tag."""
    marks = []
    for section in sections():
        mark = f"createObject({variable('mark' + section.key)}, {parameter('packageVersion')})"
        marks.append(either(variable(f"content{section.key}"), mark, "createObject()"))
    return _tags(
        "installed",
        f"union({', '.join(marks)})",
        depends_on=[
            OWN_GROUP.nested_id(f"installed-{section.key.lower()}") for section in sections()
        ],
    )


def _tags(
    name: str, added: str, *, depends_on: Sequence[str], condition: str | None = None
) -> Json:
    now = "coalesce(tryGet(resourceGroup(), 'tags'), createObject())"
    return nested(
        name,
        condition=condition,
        depends_on=depends_on,
        parameters={"added": added if condition is None else f"createObject({added})"},
        template={
            "parameters": {"added": declare("object", "The tags to add.")},
            "resources": [
                {
                    "type": "Microsoft.Resources/tags",
                    "apiVersion": "2022-09-01",
                    "name": "default",
                    "properties": {"tags": value(f"union({now}, {parameter('added')})")},
                }
            ],
        },
    )
