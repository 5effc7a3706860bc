"""Read and check local.settings.json."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Collection
from pathlib import Path

from local.world import SIGN_IN
from shared.connections.registry import all_settings
from shared.settings.names import SEPARATOR
from tools.project import ROOT

SETTINGS_FILE = ROOT / "local.settings.json"


class SettingsFileInvalid(Exception):
    """local.settings.json cannot be read; the message says what to do."""


def read_settings(path: Path = SETTINGS_FILE) -> dict[str, str]:
    """The `Values` of local.settings.json; the environment's values take precedence."""
    if not path.exists():
        raise SettingsFileInvalid(
            f"{path.name} is missing: copy local.settings.json.example to it and fill it in. "
            "To see the app at work without any vendor: python3 -m tools demo"
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))["Values"]
        settings = {name: _text(path, name, value) for name, value in values.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsFileInvalid(
            f'{path.name} is not JSON with an object "Values": {error}'
        ) from error
    filled = {name: value.strip() for name, value in settings.items() if value.strip()}
    known = {setting.name for setting in all_settings()}
    for name in sorted(filled):
        prefix, separator, connection = name.partition(SEPARATOR)
        if prefix not in known and (nearest := _nearest(prefix, known)):
            meant = f"{nearest}{separator}{connection}"
            print(f"{path.name}: there is no setting {name}; {meant} may be meant.")
    given = {
        name: value
        for name, value in os.environ.items()
        if name in filled or name.partition(SEPARATOR)[0] in known or name.startswith(SIGN_IN)
    }
    return {**filled, **given}


def _text(path: Path, name: str, value: object) -> str:
    """A value as an app setting has it; Azure's host takes numbers and booleans as text, too."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, str | int | float):
        return str(value)
    raise SettingsFileInvalid(
        f"{path.name}: {name} is a list or an object; a setting is a text, a number, true or false"
    )


def _nearest(name: str, known: Collection[str]) -> str | None:
    """The known setting whose name is nearly ``name``, or None."""
    lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.8)
    return lower[found[0]] if found else None
