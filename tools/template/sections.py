"""The template's sections: what belongs to which connector, and when it is deployed.

A section is made of the tables in sentinel/tables that name its connector. Its settings come from
the connector's declaration, or for a product that posts to its rule by itself from
sentinel/senders.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.connections.registry import connectors
from shared.settings.app import HEALTH_RULE
from shared.settings.setting import Setting
from shared.source.connector import Connector, Portal
from tools.content import MAX_FLOWS, Sender, Table, load_senders, load_tables
from tools.template.arm import parameter, variable


@dataclass(frozen=True, slots=True)
class Section:
    """A connector's part of the template.

    ``key`` is the name that files under sentinel/ give as ``connector``. ``rule_setting`` is the
    app setting that receives its rule's id; None where a person tells the sender the id.
    ``settings`` are what a person is asked for, by field. ``portal`` has the texts of its step in
    the portal's form; None: there is no step, since the section is always deployed. ``webhook``
    says whether a function of the app is posted to.
    """

    key: str
    tables: tuple[str, ...]
    rule_setting: str | None
    settings: Mapping[str, Setting] = field(default_factory=dict)
    portal: Portal | None = None
    webhook: bool = False

    @property
    def rule_name(self) -> str:
        """The expression of its data collection rule's name."""
        return f"concat({variable('prefix')}, '-{self.key.lower()}')"

    @property
    def switch(self) -> Setting | None:
        """The setting that deploys the section where it is not empty: no secret, which may be left
        empty at a later deployment. None: a parameter ``use<key>`` does.
        """
        plain = (each for each in self.settings.values() if each.required and not each.secret)
        return next(plain, None)

    @property
    def use(self) -> str:
        """The name of the variable that says whether to deploy the section, and of the parameter
        that sets up the connection without a name where no setting does.
        """
        return f"use{self.key}"

    @property
    def condition(self) -> str | None:
        """The expression under which the section is deployed; None: always."""
        return variable(self.use) if self.portal else None

    @property
    def without_name(self) -> str:
        """The expression that says whether the connection without a name is set up."""
        if self.switch:
            return f"not(empty({parameter(self.switch.name)}))"
        return parameter(self.use)

    @property
    def has_connections(self) -> bool:
        """Whether it is a connector, which may have named connections."""
        return self.portal is not None and self.rule_setting is not None

    @property
    def secrets(self) -> Sequence[Setting]:
        """Its secrets, each a parameter, a secret in Key Vault and an app setting of one name."""
        return [each for each in self.settings.values() if each.secret]

    @property
    def camel(self) -> str:
        """The key as the names of outputs and of the form's steps begin with it."""
        return self.key[0].lower() + self.key[1:]


@functools.cache
def sections() -> Sequence[Section]:
    """The project's sections; see ``sections_of``."""
    return sections_of(load_tables(), connectors(), load_senders())


def sections_of(
    tables: Sequence[Table], connectors: Sequence[Connector], senders: Sequence[Sender]
) -> Sequence[Section]:
    """The connectors' sections by name, then the senders', then that of the health rows.

    A connector without a table has none. Raises ``ValueError`` for a table whose connector nothing
    declares, for a connector whose tables do not fit into one rule, and for one that nothing
    switches on.
    """
    owned: dict[str, list[Table]] = {}
    for table in tables:
        owned.setdefault(table.connector, []).append(table)
    made = [
        Section(
            connector.name,
            *_tables_and_rule(owned.pop(connector.name)),
            connector.declared(),
            connector.portal,
            connector.events is not None,
        )
        for connector in connectors
        if connector.name in owned
    ]
    made += [
        Section(
            sender.connector,
            *_tables_and_rule(owned.pop(sender.connector)),
            {"object_id": sender.principal},
            sender.portal,
        )
        for sender in senders
        if sender.connector in owned
    ]
    for section in made:
        if section.switch is None and not section.secrets:
            raise ValueError(f"{section.key} has neither a required setting nor a secret")
    for key, rest in owned.items():
        names, rule_setting = _tables_and_rule(rest)
        if rule_setting != HEALTH_RULE:
            raise ValueError(
                f"sentinel/tables/{names[0]}.yaml: nothing in shared/connectors or "
                f"sentinel/senders is named {key}"
            )
        made.append(Section(key, names, rule_setting))
    return made


def _tables_and_rule(tables: Sequence[Table]) -> tuple[tuple[str, ...], str | None]:
    first = tables[0]
    for table in tables:
        if table.rule_setting != first.rule_setting:
            raise ValueError(f"{table.name} and {first.name} of one connector name two rules")
    if sum(len(table.streams) for table in tables) > MAX_FLOWS:
        raise ValueError(f"{first.connector} has more than {MAX_FLOWS} streams for one rule")
    return tuple(table.name for table in tables), first.rule_setting


def health() -> Section:
    """The section of the connectors' own health rows."""
    return next(each for each in sections() if each.rule_setting == HEALTH_RULE)


def section_of_table(table: str) -> Section:
    """The section that a table belongs to."""
    return next(each for each in sections() if table in each.tables)


def secret_names() -> Sequence[str]:
    """Every secret that a person gives, in the sections' order."""
    return [secret.name for each in sections() for secret in each.secrets]
