"""`python3 -m tools check`: the status page's connection test, with local.settings.json.

As with `start`, storage and destination are local where the settings name none.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from local.commands.settings_file import SETTINGS_FILE, SettingsFileInvalid, read_settings
from local.commands.start import connectors_on, local_parts
from local.world import environment
from shared.diagnostics.connection_test import ALL, check_connections, choices
from shared.diagnostics.steps import TestReport


def main(arguments: list[str]) -> int:
    """Test the section that is named, or all; print each step; return 1 where a step failed."""
    parser = argparse.ArgumentParser(prog="python3 -m tools check", description=__doc__)
    parser.add_argument("section", nargs="?", default=ALL, choices=choices())
    parser.add_argument("--settings", type=Path, default=SETTINGS_FILE)
    options = parser.parse_args(arguments)
    try:
        settings = read_settings(options.settings)
    except SettingsFileInvalid as error:
        print(error, file=sys.stderr)
        return 1
    with ExitStack() as world:
        settings |= local_parts(settings, world, None)
        world.enter_context(environment(settings))
        report = check_connections(options.section)
        set_up = options.section != ALL or any(connectors_on())
    print(as_text(report, set_up=set_up))
    return 0 if report.passed and set_up else 1


def as_text(report: TestReport, *, set_up: bool = True) -> str:
    """The report as lines of text; without a vendor that is set up, it passes no judgement."""
    lines: list[str] = []
    for step in report.steps:
        lines.append(f"{step.result:<8}{step.part}: {step.name} ({step.seconds:.1f} s)")
        lines += [f"        {text}" for text in (step.detail, step.advice) if text]
    if not set_up and report.passed:
        lines.append(
            "No vendor is set up in local.settings.json, so none was tested: fill in the settings "
            "of one"
        )
    outcome = "FAILED" if not report.passed else "passed" if set_up else "nothing to test: ended"
    return "\n".join([*lines, f"{outcome} in {report.seconds:.1f} s"])
