"""The fields that each stream declares, the fields that every record has, and the size limit."""

from __future__ import annotations

import functools
from pathlib import Path

import orjson

# A call takes 1 MB, of which the array's brackets take two bytes.
# https://learn.microsoft.com/azure/azure-monitor/service-limits#logs-ingestion-api
MAX_RECORD_BYTES = 999_998

TIME_GENERATED = "TimeGenerated"
ADDITIONAL_FIELDS = "AdditionalFields"
# Inside AdditionalFields: the paths of the values that were cut or dropped.
TRUNCATED = "_truncated"


@functools.cache
def _declarations() -> dict[str, frozenset[str]]:
    path = Path(__file__).with_name("declared_streams.json")
    declared = orjson.loads(path.read_bytes())
    return {stream: frozenset(fields) for stream, fields in declared.items()}


def declared_fields(stream: str) -> frozenset[str]:
    """Return the top-level fields that ``stream`` (``Custom-…``) declares in its DCR.

    Raises ``KeyError`` for a stream without a declaration.
    """
    return _declarations()[stream]
