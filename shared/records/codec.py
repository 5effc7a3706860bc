"""JSON in and out, with what orjson is too strict for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    pass
from shared.records.timestamps import isoformat


def parse_json(body: bytes | memoryview) -> Any:
    """The value of a JSON body; raises ``ValueError`` where it is none.

    What orjson is too strict for (a lone surrogate, an integer over 64 bits, NaN) is read by the
    standard library, so that one odd value does not hold up a stream; NaN becomes null, and an
    integer of thousands of digits a string.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(bytes(body), parse_constant=lambda _: None, parse_int=_integer)


def _integer(text: str) -> int | str:
    """What Python does not read as a number, by its limit on digits, stays text."""
    try:
        return int(text)
    except ValueError:
        return text


def dump_json(value: Any) -> bytes:
    """Compact UTF-8 JSON; a time is written in UTC, what UTF-8 cannot hold becomes ``?``."""
    try:
        return orjson.dumps(value, option=orjson.OPT_UTC_Z)
    except TypeError:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=isoformat)
        return text.encode("utf-8", "replace")
