"""Cut a record that is over the size limit, and list in it which values were cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from shared.records.codec import dump_json
from shared.records.declared import ADDITIONAL_FIELDS, MAX_RECORD_BYTES, TIME_GENERATED, TRUNCATED

# Never cut a string of at most this many characters.
_SHORTEST_CUT = 64


def truncate(outgoing: dict[str, Any]) -> bytes:
    """Encode ``outgoing`` in ``MAX_RECORD_BYTES``: cut its longest strings to one length.

    ``AdditionalFields._truncated`` lists the paths of the values that were cut or dropped.
    """
    whole: dict[str, Any] = orjson.loads(dump_json(outgoing))
    extra = whole.get(ADDITIONAL_FIELDS)
    additional = whole[ADDITIONAL_FIELDS] = extra if isinstance(extra, dict) else {}
    truncated: list[str] = []
    additional[TRUNCATED] = truncated
    _drop_values(whole, additional, truncated)
    strings = list(_strings(whole))
    room = MAX_RECORD_BYTES - len(dump_json(whole)) + sum(size for size, *_ in strings)

    def cost(level: int) -> int:
        return sum(len(n) + 4 + level if size > level else size for size, n, *_ in strings)

    shortest, longest = 0, MAX_RECORD_BYTES
    while shortest < longest:
        middle = (shortest + longest + 1) // 2
        shortest, longest = (middle, longest) if cost(middle) <= room else (shortest, middle - 1)
    for size, name, holder, key in strings:
        if size > shortest:
            holder[key] = _shortened(holder[key], shortest)
            truncated.append(name)
    return dump_json(whole)


def _shortened(text: str, size: int) -> str:
    """Return the longest prefix of ``text`` whose JSON takes at most ``size`` bytes."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(dump_json(text[:middle])) <= size else (low, middle - 1)
    return text[:low]


def _strings(value: Any, name: str = "") -> Iterator[tuple[int, str, Any, Any]]:
    """Yield (bytes, path, holder, key) of each string in ``value`` that may be cut."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        path = f"{name}.{key}" if name else str(key)
        if isinstance(item, str):
            if len(item) > _SHORTEST_CUT and path != TIME_GENERATED:
                yield len(dump_json(item)), path, value, key
        elif isinstance(item, dict | list):
            yield from _strings(item, path)


def _drop_values(whole: dict[str, Any], additional: dict[str, Any], truncated: list[str]) -> None:
    """Drop whole values, the largest first, until cutting strings is enough for the rest."""
    fields = [(whole, name) for name in whole if name not in (ADDITIONAL_FIELDS, TIME_GENERATED)]
    fields += [(additional, name) for name in additional if name != TRUNCATED]

    def least(value: Any) -> int:
        cut = sum(size - _SHORTEST_CUT - len(n) - 4 for size, n, *_ in _strings({"": value}))
        return len(dump_json(value)) - max(cut, 0)

    sizes = {name: least(holder[name]) + len(name) + 4 for holder, name in fields}
    excess = sum(sizes.values()) - MAX_RECORD_BYTES + 1000
    for holder, name in sorted(fields, key=lambda field: -sizes[field[1]]):
        if excess <= 0:
            return
        del holder[name]
        excess -= sizes[name]
        if len(name) <= _SHORTEST_CUT and len(truncated) < 1000:
            truncated.append(name)
            excess += len(name) + 3
