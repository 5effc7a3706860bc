"""Columns that a deployment may leave out: ``optionalColumns`` in sentinel/tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tools.content import Table, load_tables


@dataclass(frozen=True, slots=True)
class OptionalColumn:
    """A column of ``table``; ``twin`` is the column whose name differs in case only, if any."""

    table: str
    name: str
    twin: str

    @property
    def short(self) -> str:
        """``dataUserName`` for ``data_userName_s``: without the suffix that tells its type."""
        words = self.name.split("_")[:-1] or [self.name]
        return words[0] + "".join(word[0].upper() + word[1:] for word in words[1:] if word)

    @property
    def parameter(self) -> str:
        """``includeDataUserNameColumn`` for ``data_userName_s``."""
        return f"include{self.short[0].upper()}{self.short[1:]}Column"


def of_table(table: Table) -> Sequence[OptionalColumn]:
    """The optional columns of a table."""
    return [OptionalColumn(table.name, name, _twin(table, name)) for name in table.optional_columns]


def optional_columns() -> Sequence[OptionalColumn]:
    """Those of every table."""
    return [column for table in load_tables() for column in of_table(table)]


def _twin(table: Table, name: str) -> str:
    others = (each for each in table.columns if each != name)
    return next((each for each in others if each.lower() == name.lower()), "")
