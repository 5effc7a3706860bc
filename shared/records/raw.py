"""Records as their vendor wrote them: JSON cut out of an answer, neither decoded nor encoded anew.

Of most records only a time and an id are ever looked at. To decode the rest into objects and to
encode it again would take half of a poll's processor time, and five times the memory of its bytes.
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
"""One JSON object, as bytes; it keeps the answer alive that it was cut out of."""

Values = Any
"""What a ``Reader`` has read of one record, for its getters."""

_OBJECT = ord("{")
_PIECE = 1 << 20
_NOT_THERE = Raw(b"")


def as_record(value: Mapping[str, Any]) -> Record:
    """A record of our own making."""
    return Raw(dump_json(value))


def decoded(record: Record) -> dict[str, Any]:
    """The whole of a record."""
    value: dict[str, Any] = parse_json(memoryview(record))
    return value


def records_of(value: Any) -> list[Record] | None:
    """A list of records, whether it was left as it is or decoded; None where it is neither."""
    if not isinstance(value, list):
        return None
    if all(isinstance(item, Raw) and memoryview(item)[0] == _OBJECT for item in value):
        return value
    if all(isinstance(item, dict) for item in value):
        return [as_record(item) for item in value]
    return None


def parse_answer(body: bytes, shape: type[msgspec.Struct] | None = None) -> Any:
    """The value of a JSON body; raises ``ValueError`` and ``RecursionError`` where it is none.

    An answer of the ``shape`` is a dict of its fields, and what they call ``list[Raw]`` stays JSON.
    Any other answer is decoded whole, as is one that msgspec is too strict for.
    """
    if shape is not None:
        try:
            _check_utf8(body)
            return msgspec.structs.asdict(msgspec.json.decode(body, type=shape))
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    return parse_json(body)


def _check_utf8(body: bytes) -> None:
    """msgspec does not look at the bytes of what it leaves as it is; piece by piece, as one emoji
    makes the text of a whole answer four times as large."""
    if body.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(0, len(body), _PIECE):
        decoder.decode(body[at : at + _PIECE])
    decoder.decode(b"", final=True)


class Reader:
    """Reads the values at a few paths of records, and whether all fields of each may stay.

    ``kept`` are the fields that may, None for all but the ``reserved``.
    """

    def __init__(
        self, paths: Iterable[str], kept: frozenset[str] | None, reserved: frozenset[str]
    ) -> None:
        first = dict.fromkeys(path.partition(".")[0] for path in paths)
        # Fields have any name: the attributes are numbered.
        self._attributes = {name: f"wanted{number}" for number, name in enumerate(first)}
        self._loose = _decoder(self._attributes, {})
        others = (reserved if kept is None else kept).difference(first)
        numbered = {name: f"other{number}" for number, name in enumerate(sorted(others))}
        self._strict = _decoder(self._attributes, numbered, kept)
        self._reserved = list(numbered.values()) if kept is None else []

    def __call__(self, records: Sequence[Record]) -> tuple[list[Values], list[bool]]:
        """Raises ``ValueError`` where a record is no object."""
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
        return all(getattr(values, name) is _NOT_THERE for name in self._reserved)

    def _read_loosely(self, record: Record) -> Values:
        try:
            return self._loose(record)
        except msgspec.ValidationError:
            # It has a number beyond all bounds, which is null to others.
            return self._loose(as_record(decoded(record)))

    def getter(self, path: str) -> Callable[[Values], Any]:
        """A function that finds the value at ``path``, one of the reader's; None without it."""
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
    """A function that finds the value at a dotted ``path``, None where it is not there."""
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
    """Decodes the fields ``wanted``; the ``others`` stay JSON, and no field but ``kept`` may be."""
    names = {name: attribute for name, attribute in wanted.items() if kept is None or name in kept}
    fields: list[tuple[str, Any, Any]] = [(name, Any, None) for name in names.values()]
    fields += [(name, Raw, _NOT_THERE) for name in others.values()]
    shape = msgspec.defstruct(
        "Shape",
        fields,
        rename={attribute: name for name, attribute in (names | dict(others)).items()},
        namespace=dict.fromkeys(wanted[name] for name in wanted.keys() - names.keys()),
        forbid_unknown_fields=kept is not None,
        gc=False,
    )
    return msgspec.json.Decoder(shape).decode
