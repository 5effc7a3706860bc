"""The fields that each stream declares, and the limits of a record."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    pass


# One call takes 1 MB; a record shares it with the array's two brackets.
MAX_RECORD_BYTES = 999_998

ADDITIONAL = "AdditionalFields"

_TIME = "TimeGenerated"

_TRUNCATED = "_truncated"


@functools.cache
def _declarations() -> dict[str, frozenset[str]]:
    path = Path(__file__).with_name("declared_streams.json")
    declared = orjson.loads(path.read_bytes())
    return {stream: frozenset(fields) for stream, fields in declared.items()}


def declared_fields(stream: str) -> frozenset[str]:
    """The top-level fields that ``stream`` (``Custom-…``) declares in its data collection rule."""
    return _declarations()[stream]
