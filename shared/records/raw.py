"""Raw records: slices of a response's JSON, neither decoded nor re-encoded.

A poll needs only a time and an id of most records. To decode and re-encode all fields would take
half of a poll's processor time, and five times the memory of the bytes.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Raw

from shared.records.codec import dump_json, parse_json

Record = Raw
"""One JSON object as bytes; it keeps the whole response alive, of which it is a slice."""

Values = Any
"""The values of one record that a ``Reader`` has read, for the reader's getters."""

_OBJECT = ord("{")
_CHUNK_BYTES = 1 << 20
_MISSING = Raw(b"")


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
    its records raw. Any other response is decoded as a whole; so is one too lax for msgspec.
    """
    if shape is not None:
        try:
            _check_utf8(body)
            return msgspec.structs.asdict(msgspec.json.decode(body, type=shape))
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    return parse_json(body)


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


class Reader:
    """Read the values at ``paths`` of records, and whether each record may stay raw.

    ``kept`` has the fields that may stay in their place, None all but the ``reserved``.
    """

    def __init__(
        self, paths: Iterable[str], kept: frozenset[str] | None, reserved: frozenset[str]
    ) -> None:
        first = dict.fromkeys(path.partition(".")[0] for path in paths)
        # A field may have any name, so number the attributes.
        self._attributes = {name: f"wanted{number}" for number, name in enumerate(first)}
        self._loose = _decoder(self._attributes, {})
        others = (reserved if kept is None else kept).difference(first)
        numbered = {name: f"other{number}" for number, name in enumerate(sorted(others))}
        self._strict = _decoder(self._attributes, numbered, kept)
        self._reserved = list(numbered.values()) if kept is None else []

    def __call__(self, records: Sequence[Record]) -> tuple[list[Values], list[bool]]:
        """Return each record's values, and whether all its fields may stay.

        Raises ``ValueError`` if a record is not an object.
        """
        try:
            values = list(map(self._strict, records))
        except msgspec.ValidationError:
            found = list(map(self._read, records))
            return [values for values, _ in found], [kept for _, kept in found]
        if not self._reserved:
            return values, [True] * len(values)
        return values, list(map(self._leaves_reserved, values))

    def _read(self, record: Record) -> tuple[Values, bool]:
        try:
            values = self._strict(record)
        except msgspec.ValidationError:
            return self._read_loosely(record), False
        return values, self._leaves_reserved(values)

    def _leaves_reserved(self, values: Values) -> bool:
        return all(getattr(values, name) is _MISSING for name in self._reserved)

    def _read_loosely(self, record: Record) -> Values:
        try:
            return self._loose(record)
        except msgspec.ValidationError:
            # msgspec refuses a number out of range; the codec reads infinity, and writes null.
            return self._loose(as_record(decoded(record)))

    def getter(self, path: str) -> Callable[[Values], Any]:
        """Return a function from values to the value at ``path``, None if it is missing."""
        name, _, rest = path.partition(".")
        attribute = attrgetter(self._attributes[name])
        if not rest:
            return attribute
        inside = getter(rest)

        def find(values: Values) -> Any:
            value = attribute(values)
            return inside(value) if isinstance(value, dict) else None

        return find


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


def _decoder(
    wanted: Mapping[str, str], others: Mapping[str, str], kept: frozenset[str] | None = None
) -> Callable[[Record], Values]:
    """Build a decoder of the fields ``wanted``: keep ``others`` raw, refuse all but ``kept``."""
    names = {name: attribute for name, attribute in wanted.items() if kept is None or name in kept}
    fields: list[tuple[str, Any, Any]] = [(name, Any, None) for name in names.values()]
    fields += [(name, Raw, _MISSING) for name in others.values()]
    shape = msgspec.defstruct(
        "Shape",
        fields,
        rename={attribute: name for name, attribute in (names | dict(others)).items()},
        namespace=dict.fromkeys(wanted[name] for name in wanted.keys() - names.keys()),
        forbid_unknown_fields=kept is not None,
        gc=False,
    )
    return msgspec.json.Decoder(shape).decode
