"""Writes shared/records/declared_streams.json: the fields that each stream declares.

The function app reads it to know which fields Azure Monitor would drop, and moves those to
AdditionalFields. It is generated so that the app needs no YAML.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from tools.content import ROOT, load_tables

PATH = ROOT / "shared" / "records" / "declared_streams.json"


def declared_fields() -> dict[str, list[str]]:
    """Stream to the names of its columns, both sorted."""
    streams = [stream for table in load_tables() for stream in table.streams.values()]
    return {s.name: sorted(s.columns) for s in sorted(streams, key=lambda s: s.name)}


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the file; with ``--check`` says whether it is what it should be. 0 is good."""
    parser = argparse.ArgumentParser(
        prog="declared-fields", description="Write shared/records/declared_streams.json"
    )
    parser.add_argument("--check", action="store_true", help="change nothing, fail on drift")
    arguments = parser.parse_args(argv)
    wanted = json.dumps(declared_fields(), indent=1) + "\n"
    if not arguments.check:
        PATH.write_text(wanted, encoding="utf-8")
        return 0
    if PATH.is_file() and PATH.read_text(encoding="utf-8") == wanted:
        return 0
    print(
        f"{PATH.relative_to(ROOT)} is not what sentinel/tables declares: "
        "run `python -m tools declared-fields`",
        file=sys.stderr,
    )
    return 1
