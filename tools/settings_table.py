"""Write the README's table of settings and the example settings file.

``local.settings.json.example`` is what VS Code uploads as app settings once it is copied and filled
in: so it names every setting.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from shared.connections.registry import all_settings, settings_by_section
from shared.settings.setting import Setting
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


def readme(text: str) -> str:
    """The README with its table rendered from the declared settings."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README.name} lacks the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main(argv: Sequence[str] | None = None) -> int:
    """Writes both; with ``--check`` says whether they are what they should be. 0 is good."""
    parser = argparse.ArgumentParser(prog="settings-table", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail on drift")
    arguments = parser.parse_args(argv)
    now = README.read_text(encoding="utf-8")
    status = 0
    for path, wanted in ((README, readme(now)), (EXAMPLE, example())):
        if not arguments.check:
            path.write_text(wanted, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != wanted:
            print(
                f"{path.name} is not what the declared settings say: "
                "run `python -m tools settings-table`",
                file=sys.stderr,
            )
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
