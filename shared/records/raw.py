"""Raw records: slices of a response's JSON, neither decoded nor re-encoded.

A poll needs only a time and an id of most records. To decode and re-encode all fields would take
half of a poll's processor time, and five times the memory of the bytes.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from shared.records.codec import dump_json, parse_json, parse_lax_json

Record = Raw
"""One JSON object as bytes; it keeps the whole response alive, of which it is a slice."""

_OBJECT = ord("{")
_CHUNK_BYTES = 1 << 20


def as_record(value: Mapping[str, Any]) -> Record:
    """Encode ``value`` as a record."""
    return Raw(dump_json(value))


def decoded(record: Record) -> dict[str, Any]:
    """Decode all fields of a record."""
    value: dict[str, Any] = parse_json(memoryview(record))
    return value


def records_of(value: Any) -> list[Record] | None:
    """Return a list of raw or decoded objects as records; None if ``value`` is anything else."""
    if not isinstance(value, list):
        return None
    if all(isinstance(item, Raw) and memoryview(item)[0] == _OBJECT for item in value):
        return value
    if all(isinstance(item, dict) for item in value):
        return [as_record(item) for item in value]
    return None


def parse_answer(body: bytes, shape: type[msgspec.Struct] | None = None) -> Any:
    """Decode a response's JSON; raises ``ValueError`` or ``RecursionError`` if it is not JSON.

    A response of the ``shape`` becomes a dict of its fields, and a field typed ``list[Raw]`` keeps
    its records raw. Any other response is decoded as a whole; so is one too lax for msgspec. A byte
    that JSON has no place for, in one record, must not stop a stream.
    """
    if shape is not None:
        try:
            _check_utf8(body)
            return msgspec.structs.asdict(msgspec.json.decode(body, type=shape))
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    try:
        return parse_json(body)
    except ValueError:
        return parse_lax_json(body)


def _check_utf8(body: bytes) -> None:
    """Raise UnicodeDecodeError for a body that is not UTF-8: msgspec does not check raw fields.

    In 1 MiB chunks: one astral character makes a decoded str four bytes a character.
    """
    if body.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(0, len(body), _CHUNK_BYTES):
        decoder.decode(body[at : at + _CHUNK_BYTES])
    decoder.decode(b"", final=True)


def getter(path: str) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function from a record to the value at a dotted ``path``, None if it is missing."""
    names = path.split(".")
    if len(names) == 1:
        return lambda record: record.get(path)

    def find(record: Mapping[str, Any]) -> Any:
        value: Any = record
        for name in names:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    return find
