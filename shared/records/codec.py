"""Decode and encode JSON with orjson, and with the standard library if orjson is too strict."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

from shared.records.timestamps import isoformat


def parse_json(body: bytes | memoryview) -> Any:
    """Decode a JSON body; raises ``ValueError`` if it is not JSON.

    Accept a lone surrogate, an integer over 64 bits and NaN too, so that such a value does not
    block a stream; NaN and infinity become null, and an integer of thousands of digits a string.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(bytes(body), **_ODD_NUMBERS)


def parse_lax_json(body: bytes) -> Any:
    """Decode as ``parse_json`` does, and take bytes and characters that JSON has no place for.

    Bytes that are no UTF-8 become U+FFFD; control characters stay as they are.
    """
    return json.loads(body.decode("utf-8", "replace"), strict=False, **_ODD_NUMBERS)


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _integer(text: str) -> int | str:
    """Keep an integer as text if it has more digits than Python converts."""
    try:
        return int(text)
    except ValueError:
        return text


_ODD_NUMBERS: Mapping[str, Any] = {
    "parse_constant": lambda _: None,
    "parse_int": _integer,
    "parse_float": _finite,
}


def dump_json(value: Any) -> bytes:
    """Encode compact UTF-8 JSON: times in UTC, a lone surrogate as ``?``."""
    try:
        # Copy: orjson's own bytes keep a buffer of 8 KB however short they are, which a batch of
        # 50,000 records cannot afford.
        return bytes(memoryview(orjson.dumps(value, option=orjson.OPT_UTC_Z)))
    except TypeError:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=isoformat)
        return text.encode("utf-8", "replace")
