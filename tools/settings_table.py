"""Write the README's table of settings and the example settings file.

``local.settings.json.example`` is what VS Code uploads as app settings once it is copied and filled
in: so it names every setting.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from shared.connections.registry import all_settings, settings_by_section
from shared.settings.setting import Setting
from tools.generated_files import between, write_or_check
from tools.project import ROOT

README = ROOT / "README.md"
EXAMPLE = ROOT / "local.settings.json.example"
BEGIN = "<!-- settings: made by python -m tools settings-table -->"
END = "<!-- end of settings -->"


def table() -> str:
    """The README's table, a row a setting, grouped by connector."""
    rows = ["| setting | meaning | default |", "|---|---|---|"]
    for section, settings in settings_by_section().items():
        rows.append(f"| **{section}** | | |")
        for setting in settings:
            marks = (" °" if setting.secret else "") + (" *" if setting.required else "")
            rows.append(f"| `{setting.name}`{marks} | {setting.meaning} | {_default(setting)} |")
    return "\n".join(rows)


def _default(setting: Setting) -> str:
    if setting.default_text or setting.default is None:
        return setting.default_text
    text = f"`{setting.default}`"
    if setting.bounds is None:
        return text
    low, high = setting.bounds
    return f"{text} ({low:,} to {high:,})"


def example() -> str:
    """The example file: an empty setting is absent, so each connector is off until filled in."""
    values: dict[str, str] = {"FUNCTIONS_WORKER_RUNTIME": "python"}
    values |= {setting.name: "" for setting in all_settings()}
    values["AzureWebJobsStorage"] = "UseDevelopmentStorage=true"
    return json.dumps({"IsEncrypted": False, "Values": values}, indent=2) + "\n"


def main(argv: Sequence[str]) -> int:
    """Write both, or check them; see ``write_or_check``."""
    return write_or_check("settings-table", __doc__, _files, argv)


def _files() -> dict[Path, str]:
    return {README: between(README, BEGIN, END, table()), EXAMPLE: example()}
