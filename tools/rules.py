"""The analytics rules of sentinel/rules."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from tools import rule_queries
from tools.content import SENTINEL, StreamDecl, Table, load_yaml

FOLDER = SENTINEL / "rules"
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


def parse_duration(text: str) -> timedelta:
    """The length of an ISO-8601 duration such as ``PT5M``; ``ValueError`` for anything else."""
    found = _DURATION.fullmatch(text)
    if not found or not any(found.groups()):
        raise ValueError(f"{text!r} is not an ISO-8601 duration of days, hours, minutes or seconds")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


@dataclass(frozen=True, slots=True)
class Rule:
    """An analytics rule: the name of its file without ``.yaml``, and its contents."""

    name: str
    body: dict[str, Any]

    @property
    def title(self) -> str:
        """The rule's name in Sentinel."""
        return str(self.body["name"])

    @property
    def query(self) -> str:
        """The rule's KQL as it is deployed."""
        return rule_queries.deployed(self._written)

    @property
    def streams(self) -> Sequence[StreamDecl]:
        """The streams whose records it reads."""
        return rule_queries.streams(self._written)

    @property
    def tables(self) -> Sequence[Table]:
        """The tables that it reads, by itself or by a parser."""
        return rule_queries.tables(self._written)

    def names_column(self, beginning: str) -> bool:
        """Whether its own text names a column that begins so."""
        return any(name.startswith(beginning) for name in rule_queries.names(self._written))

    @property
    def _written(self) -> str:
        return str(self.body["query"])

    @property
    def frequency(self) -> timedelta:
        """How often the rule runs."""
        return parse_duration(self.body["queryFrequency"])

    @property
    def period(self) -> timedelta:
        """How far back, by TimeGenerated, the rule looks."""
        return parse_duration(self.body["queryPeriod"])


@functools.cache
def load_rules() -> Sequence[Rule]:
    """Every analytics rule, by file name."""
    return tuple(_read(path) for path in sorted(FOLDER.glob("*.yaml")))


def load_rule(name: str) -> Rule:
    """The rule of ``name``'s file."""
    return _read(FOLDER / f"{name}.yaml")


def _read(path: Path) -> Rule:
    return Rule(path.stem, load_yaml(path))
