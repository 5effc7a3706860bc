"""The template's sections: what belongs to which connector, and when it is deployed."""

from __future__ import annotations

from dataclasses import dataclass

from tools.template.arm import parameter, variable


@dataclass(frozen=True)
class Section:
    """A connector's part of the template.

    ``key`` is the name that files under sentinel/ give as ``connector``; ``condition`` is the
    expression under which it is deployed (None: always); ``rule_setting`` is the app setting
    that receives its rule's id (None: its sender is told the id by a person).
    """

    key: str
    condition: str | None
    rule_setting: str | None
    tables: tuple[str, ...]

    @property
    def rule_name(self) -> str:
        """The expression of its data collection rule's name."""
        return f"concat({parameter('namePrefix')}, '-{self.key.lower()}')"


HEALTH = Section("Health", None, "ConnectorHealthRuleId", ("ConnectorHealth_CL",))
SECTIONS = (
    Section("SentinelOne", variable("useSentinelOne"), "SentinelOneRuleId", ("SentinelOne_CL",)),
    Section("OneLogin", parameter("useOneLogin"), "OneLoginRuleId", ("OneLogin_CL",)),
    Section("Jira", variable("useJira"), "JiraAuditRuleId", ("Jira_Audit_CL",)),
    Section(
        "TrapEye", variable("useTrapEye"), None, ("TrapEye_Threats_CL", "TrapEye_Interactions_CL")
    ),
    HEALTH,
)


def section(key: str) -> Section:
    """The section of that key."""
    return next(each for each in SECTIONS if each.key == key)


def section_of_table(table: str) -> Section:
    """The section that a table belongs to; raises ``ValueError`` where none has it."""
    for each in SECTIONS:
        if table in each.tables:
            return each
    raise ValueError(f"{table} has no section in tools/template/sections.py: add one, or name it")
