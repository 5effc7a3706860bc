"""Which connections of a connector are set up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.settings.names import find_names
from shared.settings.reader import is_set
from shared.source.connector import Connector


@dataclass(frozen=True, slots=True)
class SetUp:
    """The connections that are set up, the one without a name ('') first; and wrong names.

    ``problems`` has a sentence for each suffix of a setting that names no connection.
    """

    names: Sequence[str]
    problems: Mapping[str, str]


def set_up(connector: Connector) -> SetUp:
    """The connector's connections, by the names of their settings alone.

    Where others have names, a setting that they inherit makes no connection without a name. Raises
    SettingsError if the vault fails, which is asked where a connector has nothing but secrets.
    """
    found = find_names(connector.declared().values())
    without_name = is_set(connector.settings, inherited=not found.names)
    return SetUp(([""] if without_name else []) + list(found.names), found.problems)
