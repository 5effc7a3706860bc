"""`make check`: the status page's connection test, with the settings of local.settings.json."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from shared.status.check import ALL, choices, test
from shared.status.steps import TestReport

SETTINGS = Path("local.settings.json")


def main(arguments: list[str]) -> int:
    """Test what is named, print each step; returns 1 where one failed."""
    parser = argparse.ArgumentParser(prog="python3 -m tools check")
    parser.add_argument("what", nargs="?", default=ALL, choices=choices())
    parser.add_argument("--settings", type=Path, default=SETTINGS)
    options = parser.parse_args(arguments)
    try:
        apply(options.settings)
    except (OSError, ValueError) as error:
        print(
            f"{options.settings} cannot be read ({error}): copy local.settings.json.example and "
            "fill in your settings.",
            file=sys.stderr,
        )
        return 1
    report = test(options.what)
    print(shown(report))
    return 0 if report.passed else 1


def apply(path: Path) -> None:
    """Take the file's Values into the environment; what is there already wins, as with Functions.

    Raises ``OSError``, ``ValueError``.
    """
    values = json.loads(path.read_text(encoding="utf-8")).get("Values", {})
    for name, value in values.items():
        if value:
            os.environ.setdefault(name, str(value))


def shown(report: TestReport) -> str:
    """The report as lines of text."""
    lines: list[str] = []
    for step in report.steps:
        lines.append(f"{step.result:<8}{step.part}: {step.name} ({step.seconds:.1f} s)")
        lines += [f"        {text}" for text in (step.detail, step.advice) if text]
    outcome = "passed" if report.passed else "FAILED"
    return "\n".join([*lines, f"{outcome} in {report.seconds:.1f} s"])
