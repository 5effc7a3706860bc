"""Write shared/records/declared_streams.json: what sentinel/tables declares of each stream.

The function app reads it to know which fields Azure Monitor would drop, and moves those to
AdditionalFields. It is generated so that the app needs no YAML.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from tools.content import ROOT, load_tables

PATH = ROOT / "shared" / "records" / "declared_streams.json"


def declared_streams() -> dict[str, dict[str, Any]]:
    """Each stream with its fields, rule setting, Log-Type and connector, all sorted by name."""
    return {
        name: {
            "connector": table.connector,
            "rule": table.rule_setting,
            "logType": table.log_type,
            "fields": sorted(table.streams[name].columns),
        }
        for name, table in sorted(
            ((name, table) for table in load_tables() for name in table.streams),
            key=lambda pair: pair[0],
        )
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file; with ``--check`` says whether it is what it should be. 0 is good."""
    parser = argparse.ArgumentParser(
        prog="declared-streams", description="Write shared/records/declared_streams.json"
    )
    parser.add_argument("--check", action="store_true", help="change nothing, fail on drift")
    arguments = parser.parse_args(argv)
    wanted = json.dumps(declared_streams(), indent=1) + "\n"
    if not arguments.check:
        PATH.write_text(wanted, encoding="utf-8")
        return 0
    if PATH.is_file() and PATH.read_text(encoding="utf-8") == wanted:
        return 0
    print(
        f"{PATH.relative_to(ROOT)} is not what sentinel/tables declares: "
        "run `python -m tools declared-streams`",
        file=sys.stderr,
    )
    return 1
