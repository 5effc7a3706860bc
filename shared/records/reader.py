"""Read a few values of raw records, and find the fields that must move.

A vendor's update adds a field to every record overnight. So names of undeclared fields are learned:
the next records are decoded with them, at the speed of records that have only declared fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Raw

from shared.records.raw import Record, as_record, decoded, getter

Values = Any
"""The values of one record that a ``Reader`` has read, for the reader's getters."""

Moved = tuple[tuple[str, Raw], ...] | None
"""The fields of a record that must move, with their JSON; None if it must be decoded to tell."""

_MISSING = Raw(b"")
# A vendor that makes up names (a map with ids for keys) must not grow the decoder without end.
_MOST_LEARNED = 64
# msgspec raises for a field of such a name.
_NOT_LEARNED = re.compile(r'[\x00-\x1f"\\]')
_fields_of = msgspec.json.Decoder(dict[str, Raw])


@dataclass(frozen=True, slots=True)
class _Shape:
    """A decoder, and the fields that it reads raw because they move, each with its getter."""

    decode: Callable[[Record], Values]
    moving: tuple[tuple[str, Callable[[Values], Any]], ...]

    def moved(self, values: Sequence[Values]) -> list[Moved]:
        """Return the fields that each record must move; ``values`` are the records'."""
        if not self.moving:
            return [()] * len(values)
        columns = {name: list(map(find, values)) for name, find in self.moving}
        rows = list(zip(*(zip(repeat(n), c) for n, c in columns.items()), strict=True))
        if not any(_MISSING in column for column in columns.values()):
            return list(rows)  # as after an update, which gives the field to each record
        return [tuple([field for field in row if field[1] is not _MISSING]) for row in rows]


class Reader:
    """Read the values at ``paths`` of records, and the fields that may not stay in their place.

    ``kept`` has the fields that may stay, None all but the ``reserved``.
    """

    def __init__(
        self, paths: Iterable[str], kept: frozenset[str] | None, reserved: frozenset[str]
    ) -> None:
        first = dict.fromkeys(path.partition(".")[0] for path in paths)
        # A field may have any name, so number the attributes.
        self._attributes = {name: f"wanted{number}" for number, name in enumerate(first)}
        self._kept = kept
        self._loose = _decoder(self._attributes, {})
        self._learn(reserved.difference(first) if kept is None else ())

    def __call__(self, records: Sequence[Record]) -> tuple[list[Values], list[Moved]]:
        """Return each record's values, and the fields that it must move.

        Raises ``ValueError`` if a record is not an object.
        """
        shape = self._shape
        try:
            values = list(map(shape.decode, records))
        except msgspec.ValidationError:
            found = list(map(self._read, records))
            return [values for values, _ in found], [moved for _, moved in found]
        return values, shape.moved(values)

    def _read(self, record: Record) -> tuple[Values, Moved]:
        for _ in range(2):
            shape = self._shape
            try:
                values = shape.decode(record)
            except msgspec.ValidationError:
                if not self._learn_from(record):
                    break
            else:
                return values, *shape.moved([values])
        return self._read_loosely(record), None

    def _learn_from(self, record: Record) -> bool:
        """Learn the names of a record's undeclared fields; False if nothing was to be learned."""
        if self._kept is None:
            return False
        known = [name for name, _ in self._shape.moving]
        try:
            new = [n for n in _fields_of.decode(record) if n not in self._kept and n not in known]
        except msgspec.DecodeError:
            return False
        wanted = self._attributes.keys() & new
        odd = any(map(_NOT_LEARNED.search, new))
        if not new or wanted or odd or len(known) + len(new) > _MOST_LEARNED:
            return False
        self._learn([*known, *new])
        return True

    def _learn(self, names: Iterable[str]) -> None:
        """Decode from now on the fields that move by these names, raw."""
        moving = {name: f"moving{number}" for number, name in enumerate(sorted(names))}
        others = frozenset[str]() if self._kept is None else self._kept
        staying = sorted(others.difference(self._attributes))
        numbered = {name: f"other{number}" for number, name in enumerate(staying)}
        allowed = None if self._kept is None else self._kept | moving.keys()
        # One assignment: threads that read meanwhile go on with the shape that they have.
        self._shape = _Shape(
            _decoder(self._attributes, numbered | moving, allowed),
            tuple((name, attrgetter(attribute)) for name, attribute in moving.items()),
        )

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
