"""Writes the README's table and the example settings file from shared/settings/app.SETTINGS.

``local.settings.json.example`` is what VS Code uploads as app settings once it is copied and filled
in: so it names every setting.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from shared.settings.app import SETTINGS
from shared.settings.setting import Setting
from tools.project import ROOT

README = ROOT / "README.md"
EXAMPLE = ROOT / "local.settings.json.example"
BEGIN = "<!-- settings: made by python -m tools settings-table -->"
END = "<!-- end of settings -->"


def table() -> str:
    """The README's table, a row a setting, grouped as SETTINGS are."""
    rows = ["| setting | meaning | default |", "|---|---|---|"]
    section = ""
    for setting in SETTINGS:
        if setting.section != section:
            section = setting.section
            rows.append(f"| **{section}** | | |")
        marks = "".join(
            mark for mark, holds in ((" °", setting.secret), (" *", setting.required)) if holds
        )
        rows.append(f"| `{setting.name}`{marks} | {setting.meaning} | {_default(setting)} |")
    return "\n".join(rows)


def _default(setting: Setting) -> str:
    if setting.name == "SentinelOneStreams":
        return "all"
    if setting.default is None:
        return ""
    low, high = setting.bounds
    return f"`{setting.default}`" + (f" ({low:,} to {high:,})" if high else "")


def example() -> str:
    """The example file: an empty setting is absent, so each connector is off until filled in."""
    values: dict[str, str] = {"FUNCTIONS_WORKER_RUNTIME": "python"}
    values |= {s.name: "" for s in SETTINGS}
    values["AzureWebJobsStorage"] = "UseDevelopmentStorage=true"
    return json.dumps({"IsEncrypted": False, "Values": values}, indent=2) + "\n"


def readme(text: str) -> str:
    """The README with its table made anew."""
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
                f"{path.name} is not what shared/settings/app.py says: "
                "run `python -m tools settings-table`",
                file=sys.stderr,
            )
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
