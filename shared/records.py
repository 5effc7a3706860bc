"""What every record gets on its way out: its time, its place for unknown fields, its limits.

Records go out as they came in. Added are ``TimeGenerated`` and what the connector adds; moved are
top-level fields that the stream does not declare (into ``AdditionalFields``), because Azure Monitor
drops undeclared fields without an error; removed are the vendor's own secrets.
https://learn.microsoft.com/azure/azure-monitor/logs/logs-ingestion-api-overview
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from typing_extensions import Buffer

# One call takes 1 MB; a record shares it with the array's two brackets.
MAX_RECORD_BYTES = 999_998

# SentinelOne's groups carry a site's registration token, its agents a licence key.
SECRET_FIELDS = ("registrationToken", "licenseKey")
_SECRET_MARKS = tuple(f'"{name}"'.encode() for name in SECRET_FIELDS)
# Nobody need write a letter like this, but a field's name may be.
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")

ADDITIONAL = "AdditionalFields"
_TIME = "TimeGenerated"
_TRUNCATED = "_truncated"
# Strings shorter than this are left whole while a record is cut.
_SHORTEST_CUT = 64
_MILLISECONDS_FROM = 100_000_000_000
_MOST_DIGITS = 20


def utc_now() -> datetime:
    """The host's clock, aware."""
    return datetime.now(UTC)


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


@functools.cache
def _declarations() -> dict[str, frozenset[str]]:
    path = Path(__file__).with_name("declared_fields.json")
    declared = orjson.loads(path.read_bytes())
    return {stream: frozenset(fields) for stream, fields in declared.items()}


def declared_fields(stream: str) -> frozenset[str]:
    """The top-level fields that ``stream`` (``Custom-…``) declares in its data collection rule."""
    return _declarations()[stream]


def parse_time(value: object) -> datetime | None:
    """The time a vendor wrote, in UTC; None where ``value`` is no time.

    Read are ISO-8601 with a fraction of any length and ``Z``, ``+0000``, ``+00:00`` or no zone
    (UTC is meant), ``2017-12-05 19:13:06 UTC``, and epoch seconds or milliseconds.
    """
    try:
        if isinstance(value, str):
            # Thirteen digits can look like ISO-8601 to datetime: a day in 1712 where 2024 is meant.
            if len(value) > 8 and value.isdigit():
                return _parse_digits(value)
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                return _parse_odd_time(value.strip())
            if moment.tzinfo is UTC:
                return moment
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _from_epoch(value)
    except OverflowError:
        return None  # in UTC it lies before the year 1 or after 9999
    return None


def _parse_odd_time(text: str) -> datetime | None:
    for zone in (" UTC", " GMT"):
        if text.endswith(zone):
            return parse_time(text.removesuffix(zone) + "Z")
    if text.isdigit():
        return _parse_digits(text)
    # A leap second: datetime knows none, so the second before it, and one more.
    if len(text) >= 19 and text[16:19] == ":60":
        before = parse_time(f"{text[:16]}:59{text[19:]}")
        return before + timedelta(seconds=1) if before else None
    return None


def _parse_digits(text: str) -> datetime | None:
    return _from_epoch(int(text)) if text.isascii() and len(text) <= _MOST_DIGITS else None


def _from_epoch(number: float) -> datetime | None:
    seconds = number / 1000 if abs(number) >= _MILLISECONDS_FROM else number
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OSError):
        return None


def isoformat(moment: datetime) -> str:
    """``2026-01-02T03:04:05.000006Z``: UTC, always with microseconds."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class Encoder:
    """Makes records of one stream what goes to Azure Monitor: one JSON object each.

    ``declared`` are the stream's fields; None sends a record nested as it came (Data Collector).
    ``added`` are fields that each record gets; a field of the record that has the name of an added
    one moves into ``AdditionalFields`` as well. ``kept`` are the fields that stay where they are,
    None for all but the ``reserved``.
    """

    def __init__(
        self, declared: frozenset[str] | None, added: Mapping[str, Any] | None = None
    ) -> None:
        self._added = dict(added or {})
        self.reserved = frozenset((_TIME, *self._added))
        self.kept = None if declared is None else declared - {ADDITIONAL, *self.reserved}
        inside = dump_json(self._added)[1:-1]
        self._between = b",%b," % inside if inside else b","

    def __call__(self, record: Mapping[str, Any], time_generated: datetime) -> bytes:
        """At most ``MAX_RECORD_BYTES`` bytes."""
        fields = frozenset(record)
        moved = fields & self.reserved if self.kept is None else fields - self.kept
        if moved:
            moved |= fields & {ADDITIONAL}  # its place is taken
        outgoing = {_TIME: time_generated, **self._added}
        outgoing |= {name: value for name, value in record.items() if name not in moved}
        if moved:
            outgoing[ADDITIONAL] = {name: value for name, value in record.items() if name in moved}
        body = dump_json(outgoing)
        if has_secret(body):
            outgoing = _without_secrets(outgoing)
            body = dump_json(outgoing)
        return body if len(body) <= MAX_RECORD_BYTES else _cut(outgoing)

    def as_they_came(
        self, records: Sequence[Buffer], times_generated: Sequence[datetime]
    ) -> list[bytes]:
        """Records in their own JSON, each behind what is added.

        The caller replaces those of which not all may stay: empty, too large, with a field that has
        to move or a secret.
        """
        if not records:
            return []
        # One call for all of them costs as much as one for two or three.
        times = orjson.dumps(times_generated, option=orjson.OPT_UTC_Z)[1:-1].split(b",")
        return [
            b"".join((b'{"TimeGenerated":', time, self._between, memoryview(record)[1:]))
            for time, record in zip(times, records, strict=True)
        ]


def encode(
    record: Mapping[str, Any],
    *,
    time_generated: datetime,
    declared: frozenset[str] | None,
    added: Mapping[str, Any] | None = None,
) -> bytes:
    """One record by an ``Encoder`` of its own."""
    return Encoder(declared, added)(record, time_generated)


def has_secret(body: bytes) -> bool:
    """Whether JSON has, or may have, a field that does not go out."""
    if any(mark in body for mark in _SECRET_MARKS):
        return True
    return b"\\" in body and _ESCAPED_LETTER.search(body) is not None


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_secrets(v) for k, v in value.items() if k not in SECRET_FIELDS}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return value


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
