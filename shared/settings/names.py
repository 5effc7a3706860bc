"""Names of connections behind settings: ``AcmeUrl__emea`` belongs to the connection emea.

Names are found among the app's settings, never in the vault.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.settings.setting import Setting

SEPARATOR = "__"
_NAME = re.compile(r"[A-Za-z0-9]{1,32}")
_RULE = "a connection's name is 1 to 32 letters and digits"


@dataclass(frozen=True, slots=True)
class Names:
    """The names found behind settings, sorted, and what is wrong with others.

    ``problems`` has a sentence for each suffix that names no connection, by that suffix.
    """

    names: Sequence[str]
    problems: Mapping[str, str]


def is_name(text: str) -> bool:
    """Whether ``text`` may name a connection."""
    return bool(_NAME.fullmatch(text))


def suffixed(settings: Iterable[Setting]) -> Mapping[str, Sequence[str]]:
    """The app settings that are one of ``settings`` with a suffix, by suffix.

    Settings' names are compared without case, since Windows has them in upper case.
    """
    declared = {setting.name.lower() for setting in settings}
    found: dict[str, list[str]] = {}
    for name in sorted(os.environ):
        prefix, separator, suffix = name.partition(SEPARATOR)
        if separator and prefix.lower() in declared and os.environ[name].strip():
            found.setdefault(suffix, []).append(name)
    return found


def find_names(settings: Iterable[Setting]) -> Names:
    """The names behind ``settings``; two that differ by case alone name no connection."""
    found = suffixed(settings)
    problems: dict[str, str] = {}
    alike: dict[str, list[str]] = {}
    for suffix, names in found.items():
        if is_name(suffix):
            alike.setdefault(suffix.lower(), []).append(suffix)
        else:
            problems[suffix] = f"{', '.join(names)}: {suffix!r} is no name; {_RULE}"
    for same in alike.values():
        if len(same) > 1:
            settings_of = ", ".join(name for suffix in same for name in found[suffix])
            sentence = f"{settings_of}: the names {' and '.join(same)} differ by case alone"
            problems |= dict.fromkeys(same, sentence)
    return Names(sorted(s for s in found if is_name(s) and s not in problems), problems)
