"""What every analytics rule's file must have for Microsoft Sentinel to take it."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest

from tests.rules.files import Rule, connector_pages, duration, rules
from tools import workbook
from tools.content import load_parsers

RULES = rules()
# Rules that read several sources, through ASIM's functions.
ACROSS = [rule for rule in RULES if "_Im_" in rule.query]
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)

# https://attack.mitre.org, the enterprise matrix: the tactics to which each technique belongs.
TECHNIQUES = {
    "T1021": {"LateralMovement"},
    "T1046": {"Discovery"},
    "T1078": {"DefenseEvasion", "InitialAccess", "Persistence", "PrivilegeEscalation"},
    "T1098": {"Persistence", "PrivilegeEscalation"},
    "T1110": {"CredentialAccess"},
    "T1136": {"Persistence"},
    "T1204": {"Execution"},
    "T1550": {"DefenseEvasion", "LateralMovement"},
    "T1555": {"CredentialAccess"},
    "T1556": {"CredentialAccess", "DefenseEvasion", "Persistence"},
    "T1562": {"DefenseEvasion"},
}

# https://learn.microsoft.com/azure/sentinel/entities-reference: the identifiers we may map.
ENTITIES = {
    "Account": {"Name", "FullName", "UPNSuffix", "DisplayName", "ObjectGuid"},
    "DNS": {"DomainName"},
    "FileHash": {"Algorithm", "Value"},
    "Host": {"HostName", "FullName", "DnsDomain"},
    "IP": {"Address"},
    "Malware": {"Name", "Category"},
}


def placeholders(text: str) -> list[str]:
    return re.findall(r"\{\{(\w+)\}\}", text)


def test_there_is_a_rule_for_each_thing_that_was_promised() -> None:
    """Each situation that the documentation names has its rule, and no file is unknown."""
    assert sorted(rule.name for rule in RULES) == [
        "AsimFailedLoginsThenSuccess",
        "AsimPrivilegedRoleGranted",
        "HealthConnectorFailing",
        "HealthConnectorSilent",
        "HealthDeadLetters",
        "HealthPostsMissing",
        "HealthTokenExpiring",
        "JiraAdminGroupChanged",
        "JiraGlobalPermissionAdded",
        "OneLoginFailedLoginsThenSuccess",
        "OneLoginMfaRemoved",
        "OneLoginPrivilegeGranted",
        "OneLoginUserAssumed",
        "SentinelOneAgentUnprotected",
        "SentinelOneConsoleUserAdded",
        "SentinelOneDetectionRuleDisabled",
        "SentinelOneThreatNotMitigated",
        "TrapEyeNewThreat",
    ]


def test_ids_are_guids_and_each_is_used_once() -> None:
    """No two rules, nor a rule and the workbook, share an id."""
    ids = [rule.body["id"] for rule in RULES] + [workbook.metadata()["id"]]
    assert all(str(uuid.UUID(given)) == given for given in ids)
    assert len(set(ids)) == len(ids)
    assert len({rule.body["name"] for rule in RULES}) == len(RULES)


@every_rule
def test_a_rule_says_what_sentinel_requires(rule: Rule) -> None:
    """Every property that the alert rules' API requires is there, with a value that it knows."""
    body = rule.body
    assert body["connector"] in {"SentinelOne", "OneLogin", "Jira", "TrapEye", "Health"}
    # A rule over several sources belongs to what is always deployed.
    assert rule.name.startswith("Asim" if rule in ACROSS else body["connector"])
    assert rule not in ACROSS or body["connector"] == "Health"
    assert body["severity"] in {"High", "Medium", "Low", "Informational"}
    assert body["status"] == "Available"
    assert body["description"].strip().endswith(".")
    assert (body["triggerOperator"], body["triggerThreshold"]) == ("GreaterThan", 0)
    assert body["eventGroupingSettings"] == {"aggregationKind": "AlertPerResult"}
    assert body["suppressionEnabled"] is False
    assert timedelta(minutes=5) <= duration(body["suppressionDuration"]) <= timedelta(days=1)


@every_rule
def test_a_rules_schedule_is_one_that_sentinel_allows(rule: Rule) -> None:
    """It runs at most every five minutes, looks back wider, and two days or more only hourly.

    https://learn.microsoft.com/azure/sentinel/scheduled-rules-overview
    """
    assert timedelta(minutes=5) <= rule.frequency <= timedelta(days=14)
    assert rule.frequency < rule.period <= timedelta(days=14)
    if rule.period >= timedelta(days=2):
        assert rule.frequency >= timedelta(hours=1)


@every_rule
def test_a_query_looks_at_its_own_period_of_a_table(rule: Rule) -> None:
    """A query names its table, and the same look-back as its rule, so it can be tried by hand."""
    tables = set(re.findall(r"\b\w+_CL\b", rule.query))
    assert len(tables) == (0 if rule in ACROSS else 1)
    hours = int(rule.period.total_seconds() // 3600)
    written = f"{hours}h" if hours % 24 else f"{hours // 24}d"
    assert f"where TimeGenerated > ago({written})" in rule.query
    calls = re.findall(r"\bv?_?[Ii]m_?[A-Z]\w+\((\w+=\w+\(\w+\))", rule.query)
    assert len(calls) == len(re.findall(r"_Im_|vim", rule.query))
    assert set(calls) <= {f"starttime=ago({written})"}


@every_rule
def test_a_rule_takes_what_arrived_since_its_last_run(rule: Rule) -> None:
    """A query reads ingestion_time() and bounds it by windows as long as its frequency."""
    assert "ingestion_time()" in rule.query
    bounds = re.findall(r"(?:Arrived|Since) (?:>|<=) ago\((\d+)([mhd])\)", rule.query)
    minutes = [int(number) * {"m": 1, "h": 60, "d": 1440}[unit] for number, unit in bounds]
    window = int(rule.frequency.total_seconds() // 60)
    assert window in minutes or any(a - b == window for a in minutes for b in minutes)


@every_rule
def test_tactics_and_techniques_are_mitres_and_belong_together(rule: Rule) -> None:
    """Every technique serves a tactic of the rule, and every tactic has a technique."""
    tactics = set(rule.body["tactics"])
    techniques = rule.body["relevantTechniques"]
    assert bool(tactics) == bool(techniques)
    for technique in techniques:
        assert TECHNIQUES[technique] & tactics
    for tactic in tactics:
        assert any(tactic in TECHNIQUES[technique] for technique in techniques)


@every_rule
def test_entities_are_ones_that_sentinel_knows(rule: Rule) -> None:
    """At most ten entities of at most three identifiers, each an identifier of its type."""
    mappings = rule.body["entityMappings"]
    assert len(mappings) <= 10
    for mapping in mappings:
        known = ENTITIES[mapping["entityType"]]
        identifiers = [field["identifier"] for field in mapping["fieldMappings"]]
        assert 1 <= len(identifiers) <= 3
        assert set(identifiers) <= known


@every_rule
def test_custom_details_and_texts_keep_to_their_limits(rule: Rule) -> None:
    """At most twenty details with short names, and three columns in a name or a description."""
    assert 1 <= len(rule.body["customDetails"]) <= 20
    assert all(re.fullmatch(r"\w{1,20}", key) for key in rule.body["customDetails"])
    override = rule.body["alertDetailsOverride"]
    for text, limit in (("alertDisplayNameFormat", 256), ("alertDescriptionFormat", 5000)):
        assert 1 <= len(placeholders(override[text])) <= 3
        assert len(override[text]) <= limit


@every_rule
def test_incidents_are_made_and_grouped_by_what_the_alerts_have(rule: Rule) -> None:
    """Grouping names only entities that are mapped and details that are given."""
    settings = rule.body["incidentConfiguration"]
    grouping = settings["groupingConfiguration"]
    assert settings["createIncident"] is True
    assert grouping["reopenClosedIncident"] is False
    assert timedelta(minutes=5) <= duration(grouping["lookbackDuration"]) <= timedelta(days=7)
    mapped = {mapping["entityType"] for mapping in rule.body["entityMappings"]}
    assert set(grouping.get("groupByEntities", [])) <= mapped
    assert set(grouping.get("groupByCustomDetails", [])) <= set(rule.body["customDetails"])
    selected = grouping["matchingMethod"] == "Selected"
    assert selected == bool(grouping.get("groupByEntities") or grouping.get("groupByCustomDetails"))
    assert grouping["matchingMethod"] in {"Selected", "AllEntities"}


def test_a_trapeye_threat_is_an_alert_and_an_incident_of_its_own() -> None:
    """TrapEye's rule is as its makers ask: five minutes, ungrouped, IP and DNS, two details."""
    (body,) = [rule.body for rule in RULES if rule.name == "TrapEyeNewThreat"]
    assert body["queryFrequency"] == "PT5M"
    assert body["incidentConfiguration"]["groupingConfiguration"]["enabled"] is False
    assert {mapping["entityType"] for mapping in body["entityMappings"]} == {"IP", "DNS"}
    assert body["customDetails"] == {"threat_uuid": "threat_uuid", "source_ip": "source_ip"}


def test_a_duration_that_is_not_iso_8601_is_refused() -> None:
    """The tests' own reading of durations would notice ``5m`` or ``P``."""
    for text in ("5m", "P", "PT", "P1W", ""):
        with pytest.raises(ValueError, match="ISO-8601"):
            duration(text)
    assert duration("P1DT2H3M4S") == timedelta(days=1, hours=2, minutes=3, seconds=4)


@pytest.mark.parametrize("name", connector_pages())
def test_a_page_of_the_gallery_has_what_the_api_requires(name: str) -> None:
    """Every Data connectors page has all required parts, and all five fields of a permission."""
    page = connector_pages()[name]
    assert re.fullmatch(r"[A-Za-z0-9_-]+", page["id"])
    assert page["connector"] in {"SentinelOne", "OneLogin", "Jira", "TrapEye"}
    for part in ("title", "publisher", "descriptionMarkdown"):
        assert page[part].strip()
    for part in ("graphQueries", "dataTypes", "instructionSteps", "sampleQueries"):
        assert page[part]
    assert [one["type"] for one in page["connectivityCriteria"]] == ["IsConnectedQuery"]
    for provider in page["permissions"]["resourceProvider"]:
        assert set(provider) == {
            "provider",
            "permissionsDisplayText",
            "providerDisplayName",
            "scope",
            "requiredPermissions",
        }
        assert set(provider["requiredPermissions"]) == {"read", "write", "delete", "action"}
    for custom in page["permissions"]["customs"]:
        assert set(custom) == {"name", "description"}
    for step in page["instructionSteps"]:
        assert step["title"]
        assert step["description"]
        for instruction in step.get("instructions", []):
            assert set(instruction) == {"type", "parameters"}


def test_pages_have_ids_and_connectors_of_their_own() -> None:
    """No two Data connectors pages share an id or a connector."""
    pages = connector_pages().values()
    assert len({page["id"] for page in pages}) == len(pages) == 4
    assert len({page["connector"] for page in pages}) == len(pages)


def test_sample_queries_go_by_the_events_own_time() -> None:
    """Old rows carry the time of receipt as TimeGenerated; the parsers have EventTime."""
    parsers = {parser.alias for parser in load_parsers()}
    read = [
        sample["query"]
        for page in connector_pages().values()
        for sample in page["sampleQueries"]
        if sample["query"].split()[0] in parsers
    ]
    assert len(read) > 5
    assert not [query for query in read if "TimeGenerated" in query]
