"""Analytics rules: the files of sentinel/rules as Microsoft Sentinel takes them."""

from __future__ import annotations

from collections.abc import Sequence

from tools.rules import Rule, load_rules
from tools.template.arm import (
    Json,
    any_of,
    create_object,
    either,
    literal,
    parameter,
    quoted,
    resource_id,
    value,
)
from tools.template.sections import Section, sections
from tools.template.transforms import PART, WHOLE

_API = "2025-09-01"
_WORKSPACE = resource_id("Microsoft.OperationalInsights/workspaces", parameter("workspaceName"))
_MEMBERS = (
    "severity",
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


def of_section(section: Section) -> Sequence[Rule]:
    """A section's rules, by file name. Raises ``ValueError`` for a rule of no section."""
    keys = {each.key for each in sections()}
    for rule in load_rules():
        if rule.body.get("connector") not in keys:
            raise ValueError(f"{rule.name}: `connector` names no section of the template")
    return [rule for rule in load_rules() if rule.body["connector"] == section.key]


def resource(rule: Rule) -> Json:
    """The rule, left out where its tables have another plan or ``activityData`` blinds it."""
    data = rule.body
    return {
        "condition": value(_condition(rule)),
        "type": "Microsoft.SecurityInsights/alertRules",
        "apiVersion": _API,
        "name": value(f"guid({parameter('deployment')}, {quoted(data['id'])})"),
        "scope": value(_WORKSPACE),
        "kind": "Scheduled",
        "properties": {
            "displayName": rule.title,
            "description": data["description"].strip(),
            "enabled": value(parameter("enableRules")),
            "query": literal(rule.query),
            **{name: literal(data[name]) for name in _MEMBERS if data.get(name) not in ([], None)},
            "techniques": data.get("relevantTechniques", []),
        },
    }


def _condition(rule: Rule) -> str:
    wanted = [f"equals({parameter('plans')}.{table.name}, 'Analytics')" for table in rule.tables]
    wanted += [
        f"not(equals({parameter('activityData')}, {quoted(choice)}))" for choice in blinded_by(rule)
    ]
    if not wanted:
        return "true()"
    return wanted[0] if len(wanted) == 1 else f"and({', '.join(wanted)})"


def blinded_by(rule: Rule) -> Sequence[str]:
    """The choices of ``activityData`` that leave a column empty that the rule names."""
    activities = [stream for stream in rule.streams if WHOLE in stream.transform]
    if not activities:
        return []
    if rule.names_column(PART):
        return ["json"]
    return ["columns"] if rule.names_column(WHOLE) else []


def behind_filters() -> str:
    """The names of the rules that read a stream with a filter, as an expression of an array."""
    named = []
    for rule in load_rules():
        filters = parameter("filters")
        read = any_of([f"contains({filters}, {quoted(stream.name)})" for stream in rule.streams])
        named.append(either(read, f"createArray({quoted(rule.title)})", "createArray()"))
    return f"concat({', '.join(named)})"


def left_out() -> str:
    """The names of the rules that ``activityData`` leaves out, as an expression of an array."""
    by_choice = {
        choice: [rule.title for rule in load_rules() if choice in blinded_by(rule)]
        for choice in ("columns", "json")
    }
    arrays = {
        "both": "createArray()",
        **{
            choice: f"createArray({', '.join(map(quoted, names))})"
            for choice, names in by_choice.items()
        },
    }
    return f"{create_object(arrays)}[{parameter('activityData')}]"
