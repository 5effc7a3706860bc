"""What every record gets on its way out: its time, its place for unknown fields, its limits.

Records go out as they came in. Added are ``TimeGenerated`` and what the connector adds; moved are
top-level fields that the stream does not declare (into ``AdditionalFields``), because Azure Monitor
drops undeclared fields without an error; removed are the vendor's own secrets.
https://learn.microsoft.com/azure/azure-monitor/logs/logs-ingestion-api-overview
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from shared.records.codec import dump_json
from shared.records.declared import _TIME, ADDITIONAL, MAX_RECORD_BYTES
from shared.records.truncate import _cut

if TYPE_CHECKING:
    from typing_extensions import Buffer


# SentinelOne's groups carry a site's registration token, its agents a licence key.
SECRET_FIELDS = ("registrationToken", "licenseKey")
_SECRET_MARKS = tuple(f'"{name}"'.encode() for name in SECRET_FIELDS)
# Nobody need write a letter like this, but a field's name may be.
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")


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

    def encode_verbatim(
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
