"""Each stream's records become exactly the rows that were reviewed, and nothing less is noticed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from local.workspace.workspace import Workspace
from tests.content.golden import NOW, STREAMS, cases, rows_of
from tools.content import Table, load_tables


@pytest.fixture(scope="module")
def shared_workspace() -> Iterator[Workspace]:
    """One for all streams: each reads its own rows."""
    opened = Workspace(None, now=lambda: NOW)
    yield opened
    opened.close()


@pytest.mark.parametrize("stream", STREAMS)
def test_records_become_the_rows_that_were_reviewed(
    shared_workspace: Workspace, stream: str
) -> None:
    """What a vendor sends becomes the row beside it: each column, each value, no other."""
    golden = cases(stream)
    made = iter(rows_of(shared_workspace, stream, [case["record"] for case in golden]))
    for case in golden:
        if case["row"] is not None:
            assert next(made) == case["row"], case["what"]
    assert list(made) == []


@pytest.mark.parametrize("stream", STREAMS)
def test_each_column_is_seen_by_a_golden_record(stream: str) -> None:
    """There is no column of a transform that every golden record leaves empty."""
    filled = {name for case in cases(stream) for name in case["row"] or {}}
    table, transform = _declared(stream)
    assert {name for name in table.columns if f" {name} = " in transform} <= filled


# TrapEye sends by itself and the health rows are ours: nothing moves their fields.
THROUGH_THE_FUNCTION = [s for s in STREAMS if "TrapEye" not in s and "Health" not in s]


@pytest.mark.parametrize("stream", THROUGH_THE_FUNCTION)
def test_an_unknown_field_changes_no_other_column(shared_workspace: Workspace, stream: str) -> None:
    """A field that a vendor adds is in AdditionalFields, and the rest of the row is as it was."""
    known = cases(stream)[0]
    added = {**known["record"], "not_known_yet": {"a": ["ß", 1, None]}}
    (row,) = rows_of(shared_workspace, stream, [added])
    additional = row.pop("AdditionalFields")
    before = {name: value for name, value in known["row"].items() if name != "AdditionalFields"}
    assert row == before
    assert additional == {
        **known["row"].get("AdditionalFields", {}),
        "not_known_yet": {"a": ["ß", 1, None]},
    }


# One mistake for each kind: another field, a lost cast, a lost column, a swapped pair, a filter.
MUTATIONS = [
    ("Custom-SentinelOneActivities", "data.username)", "data.userName)"),
    ("Custom-SentinelOneActivities", "== 'bool', ''", "== 'string', ''"),
    ("Custom-SentinelOneActivities", "DataFields_s = tostring(data)", "DataFields_s = ''"),
    ("Custom-SentinelOneThreats", "threatInfo.updatedAt", "threatInfo.createdAt"),
    ("Custom-SentinelOneAlerts", "iif(isempty(id), tostring(alertInfo.alertId), id)", "id"),
    ("Custom-SentinelOneUnifiedAlerts", "severity_s = severity", "severity_s = status"),
    ("Custom-SentinelOneDeviceControl", "interface_s = interface,", ""),
    ("Custom-SentinelOneAgents", "infected_b = infected", "infected_b = isActive"),
    ("Custom-SentinelOneGroups", "totalAgents_d = totalAgents", "totalAgents_d = rank"),
    ("Custom-SentinelOneApplications", "todatetime(installedAt)", "todatetime(size)"),
    ("Custom-SentinelOnePolicies", "scopeId_s = scopeId", "scopeId_s = scopeName"),
    (
        "Custom-SentinelOneSites",
        "totalLicenses_d = totalLicenses",
        "totalLicenses_d = activeLicenses",
    ),
    ("Custom-OneLogin", "tostring(AdditionalFields.user_attributes_email)", "''"),
    ("Custom-OneLogin", "todouble(tostring(risk_score))", "tolong(tostring(risk_score))"),
    ("Custom-OneLogin", "todatetime(created_at)", "TimeGenerated"),
    ("Custom-JiraAudit", "zoneHours, ':', zoneMinutes", "'+00:00'"),
    ("Custom-JiraAudit", "Category = category,", ""),
    ("Custom-ConnectorHealth", "source", "source | project-away Records"),
    ("Custom-TrapEyeThreats", "| where event_type contains 'threat'", ""),
    ("Custom-TrapEyeThreats", "todatetime(first_interaction)", "now()"),
    ("Custom-TrapEyeInteractions", "todatetime(timestamp)", "now()"),
]


@pytest.fixture(scope="module")
def mutants() -> dict[str, list[list[dict[str, object]]]]:
    """The rows that each stream's mutants make of the golden records, in the mutations' order.

    Mutants of different streams share a workspace.
    """
    made: dict[str, list[list[dict[str, object]]]] = {stream: [] for stream in STREAMS}
    left = list(MUTATIONS)
    while left:
        taken = {stream: (right, wrong) for stream, right, wrong in reversed(left)}
        left = [m for m in left if taken[m[0]] != m[1:]]
        workspace = Workspace(
            None, now=lambda: NOW, tables=[_mutant(t, taken) for t in load_tables()]
        )
        for stream in taken:
            records = [case["record"] for case in cases(stream)]
            made[stream].append(rows_of(workspace, stream, records))
        workspace.close()
    return made


@pytest.mark.parametrize(("stream", "right", "wrong"), MUTATIONS)
def test_a_mistake_in_a_transform_is_noticed(
    mutants: dict[str, list[list[dict[str, object]]]], stream: str, right: str, wrong: str
) -> None:
    """A transform with one thing changed makes other rows than the golden ones."""
    of_stream = [mutation for mutation in MUTATIONS if mutation[0] == stream]
    made = mutants[stream][of_stream.index((stream, right, wrong))]
    assert made != [case["row"] for case in cases(stream) if case["row"] is not None]


def test_every_stream_has_a_mutation() -> None:
    """No stream is left without a proof that its golden records would notice."""
    assert {stream for stream, _, _ in MUTATIONS} == set(STREAMS)


def _mutant(table: Table, mutations: dict[str, tuple[str, str]]) -> Table:
    streams = dict(table.streams)
    for name, (right, wrong) in mutations.items():
        if name in streams:
            transform = streams[name].transform
            assert right in transform
            streams[name] = dataclasses.replace(
                streams[name], transform=transform.replace(right, wrong, 1)
            )
    return dataclasses.replace(table, streams=streams)


def _declared(stream: str) -> tuple[Table, str]:
    table = next(table for table in load_tables() if stream in table.streams)
    return table, table.streams[stream].transform
