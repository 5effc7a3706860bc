"""The declared streams, the fields that every record has, and the size limit of a record.

declared_streams.json is generated from sentinel/tables, so that the app needs no YAML.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

# A call takes 1 MB, of which the array's brackets take two bytes.
# https://learn.microsoft.com/azure/azure-monitor/service-limits#logs-ingestion-api
MAX_RECORD_BYTES = 999_998

TIME_GENERATED = "TimeGenerated"
ADDITIONAL_FIELDS = "AdditionalFields"
# Inside AdditionalFields: the name of the connection that a record came by.
CONNECTION = "Connection"
# Inside AdditionalFields: the paths of the values that were cut or dropped.
TRUNCATED = "_truncated"


@dataclass(frozen=True, slots=True)
class DeclaredStream:
    """A stream of a data collection rule (``Custom-…``).

    ``fields`` has its top-level columns; ``rule_setting`` is the app setting with its rule's id
    (None: another program sends it); ``log_type`` is its table's name in the Data Collector API,
    without ``_CL`` (None: no table); ``connector`` is the name of its vendor.
    """

    fields: frozenset[str]
    rule_setting: str | None
    log_type: str | None
    connector: str


@functools.cache
def declared_streams() -> Mapping[str, DeclaredStream]:
    """Return every declared stream by name."""
    path = Path(__file__).with_name("declared_streams.json")
    return {
        name: DeclaredStream(
            frozenset(stream["fields"]), stream["rule"], stream["logType"], stream["connector"]
        )
        for name, stream in orjson.loads(path.read_bytes()).items()
    }


def declared_fields(stream: str) -> frozenset[str]:
    """Return the top-level fields that ``stream`` (``Custom-…``) declares in its DCR.

    Raises ``KeyError`` for a stream without a declaration.
    """
    return declared_streams()[stream].fields
