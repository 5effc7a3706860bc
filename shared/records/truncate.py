"""Cut a record over the limit to fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    pass
from shared.records.codec import dump_json
from shared.records.declared import _TRUNCATED, ADDITIONAL, MAX_RECORD_BYTES

# Strings shorter than this are left whole while a record is cut.
_SHORTEST_CUT = 64


def _cut(outgoing: dict[str, Any]) -> bytes:
    """Cut the longest strings to one length until the record fits, and name what was cut."""
    whole: dict[str, Any] = orjson.loads(dump_json(outgoing))
    extra = whole.get(ADDITIONAL)
    additional = whole[ADDITIONAL] = extra if isinstance(extra, dict) else {}
    truncated: list[str] = []
    additional[_TRUNCATED] = truncated
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
    """The longest beginning of ``text`` whose JSON takes at most ``size`` bytes."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(dump_json(text[:middle])) <= size else (low, middle - 1)
    return text[:low]


def _strings(value: Any, name: str = "") -> Iterator[tuple[int, str, Any, Any]]:
    """(bytes, path, holder, key) of each string in ``value`` that may be cut."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        path = f"{name}.{key}" if name else str(key)
        if isinstance(item, str):
            if len(item) > _SHORTEST_CUT and path != "TimeGenerated":
                yield len(dump_json(item)), path, value, key
        elif isinstance(item, dict | list):
            yield from _strings(item, path)


def _drop_values(whole: dict[str, Any], additional: dict[str, Any], truncated: list[str]) -> None:
    """Where cutting strings is not enough, whole values go, the largest first, until it is."""
    fields = [(whole, name) for name in whole if name not in (ADDITIONAL, "TimeGenerated")]
    fields += [(additional, name) for name in additional if name != _TRUNCATED]

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
