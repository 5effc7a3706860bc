"""What sentinel/ declares: tables with their streams and transforms, and parsers.

sentinel/tables/<Table>.yaml is the one place where a column stands. The template, the declared
fields, the local workspace and the tests read it through here.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shared.settings.setting import Setting
from shared.source.connector import Portal
from tools.project import ROOT

SENTINEL = ROOT / "sentinel"

# https://learn.microsoft.com/azure/azure-monitor/essentials/data-collection-rule-structure
STREAM_TYPES = frozenset({"string", "int", "long", "real", "boolean", "dynamic", "datetime"})
MAX_COLUMNS = 500
MAX_COLUMN_NAME = 45
MAX_TRANSFORM_CHARACTERS = 15_360
MAX_FLOWS = 10


@dataclass(frozen=True, slots=True)
class StreamDecl:
    """A stream of a data collection rule: what is sent, and what becomes of it."""

    name: str
    columns: Mapping[str, str]
    transform: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the workspace, and the streams that fill it."""

    name: str
    description: str
    connector: str
    rule_setting: str | None
    log_type: str | None
    columns: dict[str, str]
    streams: dict[str, StreamDecl]
    optional_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a function: name, KQL type, and default as KQL."""

    name: str
    kind: str
    default: str

    def __str__(self) -> str:
        return f"{self.name}:{self.kind}={self.default}"


@dataclass(frozen=True, slots=True)
class Parser:
    """A function of the workspace, called by its alias."""

    alias: str
    body: str
    parameters: tuple[Parameter, ...] = ()

    @property
    def signature(self) -> str:
        """The parameters as a saved search declares them; empty where there are none."""
        return ", ".join(map(str, self.parameters))

    @property
    def description(self) -> str:
        """The comment that the file begins with, as one paragraph."""
        lines = []
        for line in self.body.splitlines():
            if not line.startswith("//"):
                break
            lines.append(line.removeprefix("//").strip())
        return " ".join(lines)


@dataclass(frozen=True, slots=True)
class Sender:
    """A product that posts to its rule by itself, as ``principal``, a service principal's id."""

    connector: str
    portal: Portal
    principal: Setting


@functools.cache
def load_tables() -> tuple[Table, ...]:
    """Every table in sentinel/tables, by name. Raises ``ValueError`` that names file and fault."""
    return tuple(_table(path) for path in sorted((SENTINEL / "tables").glob("*.yaml")))


def load_parsers() -> list[Parser]:
    """Every parser in sentinel/parsers, by alias."""
    paths = sorted((SENTINEL / "parsers").glob("*.kql"))
    return [Parser(path.stem, path.read_text(encoding="utf-8")) for path in paths]


def load_senders() -> list[Sender]:
    """Every sender in sentinel/senders, by name."""
    declared = [load_yaml(path) for path in sorted((SENTINEL / "senders").glob("*.yaml"))]
    return [
        Sender(
            each["connector"],
            Portal(each["label"], each["tooltip"]),
            Setting(**each["principal"], required=True),
        )
        for each in declared
    ]


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML file whose document is a mapping."""
    # The parser written in C takes a tenth of the time, where PyYAML has it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loaded: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - it is safe
    return loaded


def _table(path: Path) -> Table:
    declared = load_yaml(path)
    name, columns = declared["table"], declared["columns"]
    if name != path.stem:
        raise ValueError(f"{path.name}: table is {name}, the file must be {name}.yaml")
    _check_types(path, name, columns)
    if columns.get("TimeGenerated") != "datetime":
        raise ValueError(f"{path.name}: {name} has no TimeGenerated of type datetime")
    optional = tuple(declared.get("optionalColumns", ()))
    if absent := [column for column in optional if column not in columns]:
        raise ValueError(f"{path.name}: optionalColumns names {absent[0]}, which is no column")
    return Table(
        name=name,
        description=declared["description"],
        connector=declared["connector"],
        rule_setting=declared["ruleSetting"],
        log_type=declared["logType"],
        columns=columns,
        streams={key: _stream(path, key, value) for key, value in declared["streams"].items()},
        optional_columns=optional,
    )


def _stream(path: Path, name: str, declared: dict[str, Any]) -> StreamDecl:
    if not name.startswith("Custom-"):
        raise ValueError(f"{path.name}: stream {name} must begin with Custom-")
    for key in ("columns", "transform"):
        if key not in declared:
            raise ValueError(f"{path.name}: stream {name} lacks {key!r}")
    _check_types(path, name, declared["columns"])
    transform = SENTINEL / "transforms" / declared["transform"]
    return StreamDecl(name, declared["columns"], transform.read_text(encoding="utf-8"))


def _check_types(path: Path, owner: str, columns: Mapping[str, str]) -> None:
    for column, kind in columns.items():
        if kind not in STREAM_TYPES:
            raise ValueError(f"{path.name}: {owner}.{column} has the unknown type {kind}")
