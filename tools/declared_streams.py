"""Write shared/records/declared_streams.json: what sentinel/tables declares of each stream.

The function app reads it to know which fields Azure Monitor would drop, and moves those to
AdditionalFields. It is generated so that the app needs no YAML.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.content import load_tables
from tools.generated_files import write_or_check
from tools.project import ROOT

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


def main(argv: Sequence[str]) -> int:
    """Write the file, or check it; see ``write_or_check``."""
    return write_or_check("declared-streams", __doc__, _files, argv)


def _files() -> dict[Path, str]:
    return {PATH: json.dumps(declared_streams(), indent=1) + "\n"}
