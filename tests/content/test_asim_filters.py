"""Every filter of every ASIM parser, executed: it leaves the rows that it should, and no others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from local.workspace.workspace import QueryError, Workspace
from tests.content import asim
from tests.content.golden import NOW
from tools.asim import custom_functions, custom_line, load_asim, parameters

pytestmark = pytest.mark.slow

ISO = "%Y-%m-%dT%H:%M:%SZ"

# The columns that a filter looks at, and how it compares: words, a whole value, or an address.
COLUMNS = {
    "username_has_any": ("words", "TargetUsername", "ActorUsername", "Username"),
    "targetusername_has_any": ("words", "TargetUsername"),
    "actorusername_has_any": ("words", "ActorUsername"),
    "targetappname_has_any": ("words", "TargetAppName"),
    "hostname_has_any": ("words", "DvcHostname"),
    "operation_has_any": ("words", "Operation"),
    "object_has_any": ("words", "Object"),
    "newvalue_has_any": ("words", "NewValue"),
    "attacktactics_has_any": ("words", "AttackTactics"),
    "attacktechniques_has_any": ("words", "AttackTechniques"),
    "threatcategory_has_any": ("words", "ThreatCategory"),
    "alertverdict_has_any": ("words", "AlertVerdict"),
    "eventseverity_has_any": ("words", "EventSeverity"),
    "eventtype_in": ("value", "EventType"),
    "eventresultdetails_in": ("value", "EventResultDetails"),
    "eventresult": ("value", "EventResult"),
    "srcipaddr_has_any_prefix": ("address", "SrcIpAddr"),
    "ipaddr_has_any_prefix": ("address", "IpAddr"),
}
# Filters by something that a source never tells leave nothing; a threat's verdict and Jira's
# result are alike in all of the rows.
NOTHING_LEFT = {("AuthenticationOneLogin", "srchostname_has_any")}
ALL_ALIKE = {
    ("AuditEventJiraAudit", "eventresult"),
    ("AlertEventSentinelOneThreats", "alertverdict_has_any"),
}
PARSERS = {parser.filtering.alias.removeprefix("vim"): parser for parser in load_asim()}
FILTERS = [
    (stem, each.name)
    for stem, parser in PARSERS.items()
    for each in parameters(parser.schema)
    if each.name in COLUMNS or (stem, each.name) in NOTHING_LEFT
]


@pytest.fixture(scope="module")
def filled() -> Iterator[Workspace]:
    """A workspace with records of every kind."""
    workspace = asim.filled()
    yield workspace
    workspace.close()


@pytest.fixture(scope="module")
def rows(filled: Workspace) -> Callable[[str], list[dict[str, Any]]]:
    """The rows of a filtering parser without filters, by its name without ``vim``."""
    kept: dict[str, list[dict[str, Any]]] = {}

    def of(stem: str) -> list[dict[str, Any]]:
        if stem not in kept:
            kept[stem] = filled.query(f"vim{stem}").dicts()
        return kept[stem]

    return of


def unordered(found: list[dict[str, Any]]) -> list[str]:
    """Rows to compare with others of another order."""
    return sorted(map(str, found))


def words(text: str) -> set[str]:
    """The terms that ``has_any`` finds in a text."""
    return set(re.split(r"[^0-9a-z]+", text.lower())) - {""}


def some_value(kind: str, values: list[str]) -> str:
    """A value to filter by: the rarest, so that a filter which does nothing is noticed."""
    if kind == "address":
        values = [value for value in values if re.fullmatch(r"[0-9.]+", value)]
    if kind == "words":
        values = [max(words(value), key=len) for value in values if words(value)]
    return min(set(values), key=lambda value: (values.count(value), value))


def holds(kind: str, wanted: str, values: list[str]) -> bool:
    """Whether a row with these values in a filter's columns is one that it leaves."""
    if kind == "words":
        return any(wanted in words(value) for value in values)
    return wanted.lower() in [value.lower() for value in values]


@pytest.mark.parametrize(("stem", "name"), FILTERS)
def test_a_filter_leaves_the_rows_that_it_should(
    filled: Workspace,
    rows: Callable[[str], list[dict[str, Any]]],
    stem: str,
    name: str,
) -> None:
    """A filter's rows are those of all rows that hold the value, and fewer than all."""
    everything = rows(stem)
    if (stem, name) in NOTHING_LEFT:
        assert not filled.query(f"vim{stem}({name}=dynamic(['some-host']))").rows
        return
    kind, *columns = COLUMNS[name]
    there = [column for column in columns if column in everything[0]]
    wanted = some_value(
        kind, [row[column] for column in there for row in everything if row[column]]
    )
    given = f"'{wanted}'" if name == "eventresult" else f"dynamic(['no-such', '{wanted}'])"
    given = given.replace("no-such", "192.0.3.") if kind == "address" else given
    found = filled.query(f"vim{stem}({name}={given})").dicts()
    expected = [row for row in everything if holds(kind, wanted, [row[each] for each in there])]
    assert unordered(found) == unordered(expected)
    assert expected
    assert (len(expected) == len(everything)) == ((stem, name) in ALL_ALIKE)


@pytest.mark.parametrize("stem", PARSERS)
def test_a_parser_keeps_to_its_time_and_its_switches(
    filled: Workspace, rows: Callable[[str], list[dict[str, Any]]], stem: str
) -> None:
    """Rows from ``starttime`` to ``endtime``, none when disabled, additional fields when asked."""
    everything = rows(stem)
    start, end = NOW - timedelta(minutes=8), NOW - timedelta(minutes=2)
    found = filled.query(
        f"vim{stem}(starttime=datetime({start:{ISO}}), endtime=datetime({end:{ISO}}))"
    ).dicts()
    expected = [row for row in everything if start <= row["TimeGenerated"] <= end]
    assert unordered(found) == unordered(expected)
    assert 0 < len(expected) < len(everything)
    assert filled.query(f"vim{stem}(disabled=true)").rows == []
    assert not any(row["AdditionalFields"] for row in everything)
    packed = filled.query(f"vim{stem}(pack=true) | project AdditionalFields").rows
    assert all("Fields" in row[0] for row in packed)


@pytest.mark.parametrize("function", custom_functions(), ids=lambda function: function.alias)
def test_custom_functions_hand_every_filter_on(filled: Workspace, function: Any) -> None:
    """The unifying parsers reach ours through the Custom functions, with their filters."""
    schema = function.alias.partition("_")[2].removesuffix("Custom")
    ours = [parser for parser in load_asim() if parser.schema == schema]
    counted = [filled.query(f"vim{schema}{each.product} | count").rows[0][0] for each in ours]
    assert filled.query(f"{function.alias} | count").rows == [(sum(counted),)]
    if function.alias.startswith("Im_"):
        assert filled.query(f"{function.alias}(starttime=now()) | count").rows[0][0] < sum(counted)
        assert filled.query(f"_{function.alias.removesuffix('Custom')} | count").rows == [
            (sum(counted),)
        ]


def test_an_address_is_found_by_its_beginning(filled: Workspace) -> None:
    """A prefix that ends in a dot takes the network, a whole address no longer one."""
    kql = "vimAuthenticationOneLogin(srcipaddr_has_any_prefix=dynamic(['{}'])) | count"
    every, none, one = (
        filled.query(kql.format(prefix)).rows[0][0]
        for prefix in ("203.0.", "203.1.", "203.0.113.1")
    )
    assert every > one > none == 0


def test_the_lines_to_add_name_each_parameter_once() -> None:
    """A line for the Custom function forwards every parameter of the schema, by its name."""
    for parser in load_asim():
        line = custom_line(parser, plain=False)
        assert re.findall(r"(\w+)=", line) == [each.name for each in parser.filtering.parameters]
        assert custom_line(parser, plain=True) == f"{parser.plain.alias}(disabled=false)"


def test_an_argument_that_a_function_lacks_is_an_error(filled: Workspace) -> None:
    """A misspelt filter is refused, as in Log Analytics, and the error names it."""
    with pytest.raises(QueryError, match="has no parameter username_has_all"):
        filled.query("vimAuthenticationOneLogin(username_has_all=dynamic(['x']))")


def test_an_error_behind_a_function_points_into_the_query(filled: Workspace) -> None:
    """The place of an error is that of the query as typed, whatever its functions became."""
    with pytest.raises(QueryError) as raised:
        filled.query("vimAuthenticationOneLogin(starttime=ago(1h))\n| where EventTyp == 'Logon'")
    assert (raised.value.line, raised.value.column) == (2, 9)


def test_two_calls_of_a_function_keep_their_own_arguments(filled: Workspace) -> None:
    """A query that joins successes and failures gets each from the call that asked for it."""
    kql = (
        "let Failures = vimAuthenticationOneLogin(eventresult='Failure');"
        " let Successes = vimAuthenticationOneLogin(eventresult='Success');"
        " union Failures, Successes | summarize Rows = count() by EventResult"
        " | order by EventResult asc"
    )
    assert [row[0] for row in filled.query(kql).rows] == ["Failure", "Success"]


def test_rows_of_a_function_keep_their_time_of_arrival(filled: Workspace) -> None:
    """``ingestion_time()`` of a parser's row is that of the row that it was made from."""
    arrived = "where ingestion_time() == datetime(2026-01-20T12:00:00Z)"
    kql = f"vimAuthenticationOneLogin | {arrived} | count"
    assert filled.query(kql).rows == filled.query("vimAuthenticationOneLogin | count").rows
