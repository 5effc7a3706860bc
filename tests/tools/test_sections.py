"""The sections of the template, as they follow from tables, connectors and senders."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from shared.connections.registry import connectors
from shared.settings.setting import setting
from tools.content import Table, load_senders, load_tables
from tools.template.sections import sections, sections_of


def table_of(connector: str) -> Table:
    return next(table for table in load_tables() if table.connector == connector)


def test_each_table_is_in_one_section_and_the_health_rows_come_last() -> None:
    """Nothing that sentinel/tables declares is left out of a deployment."""
    owned = [table for section in sections() for table in section.tables]
    assert sorted(owned) == sorted(table.name for table in load_tables())
    assert [section.key for section in sections() if section.condition is None] == ["Health"]
    assert sections()[-1].key == "Health"


def test_a_section_is_switched_by_its_first_required_setting_that_is_no_secret() -> None:
    """A secret may stay empty at a later deployment, so it cannot tell; then a parameter does."""
    switches = {section.key: section.without_name for section in sections() if section.condition}
    assert switches["Jira"] == "not(empty(parameters('JiraHomeSiteName')))"
    assert switches["TrapEye"] == "not(empty(parameters('TrapEyeObjectId')))"
    assert switches["OneLogin"] == "parameters('useOneLogin')"


def test_a_connector_without_a_table_has_no_section() -> None:
    """It can be polled, and there is nothing to deploy for it."""
    made = sections_of([table_of("Health")], connectors(), load_senders())
    assert [section.key for section in made] == ["Health"]


def test_a_table_whose_connector_nothing_declares_is_refused() -> None:
    """A misspelt name would leave the table out without a word."""
    table = replace(table_of("Jira"), connector="Jirra")
    with pytest.raises(ValueError, match=r"Jira_Audit_CL.yaml: nothing .* is named Jirra"):
        sections_of([table], connectors(), load_senders())


def test_tables_of_one_connector_share_a_rule() -> None:
    """There is one rule a section."""
    table = table_of("Jira")
    other = replace(table, name="Other_CL", rule_setting="OtherRuleId")
    with pytest.raises(ValueError, match="name two rules"):
        sections_of([table, other], connectors(), load_senders())


def test_a_rule_has_no_more_streams_than_azure_takes() -> None:
    """SentinelOne has ten streams, which is the most."""
    table = table_of("SentinelOne")
    (stream,) = table_of("Jira").streams.values()
    eleven = replace(table, streams={**table.streams, stream.name: stream})
    with pytest.raises(ValueError, match="more than 10 streams"):
        sections_of([eleven], connectors(), load_senders())


@dataclass(frozen=True)
class Optional:
    """Settings of which none is required."""

    speed: str = setting("AcmeSpeed", "How fast.", default="1")


def test_a_connector_that_nothing_switches_on_is_refused() -> None:
    """Its section would be deployed always or never."""
    acme = replace(connectors()[0], name="Acme", settings=Optional)
    table = replace(table_of("Jira"), connector="Acme")
    with pytest.raises(ValueError, match="neither a required setting nor a secret"):
        sections_of([table], [acme], [])
