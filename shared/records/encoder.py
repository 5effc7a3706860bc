"""Encode records for Azure Monitor.

Keep a record's JSON as the vendor sent it, except: add ``TimeGenerated`` and the connector's own
fields; move top-level fields that the stream does not declare into ``AdditionalFields``, because
Azure Monitor drops undeclared fields without an error; remove secrets; cut a record over the limit.
https://learn.microsoft.com/azure/azure-monitor/logs/logs-ingestion-api-overview
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from shared.records.codec import dump_json
from shared.records.declared import ADDITIONAL_FIELDS, MAX_RECORD_BYTES, TIME_GENERATED
from shared.records.redact import Redactor
from shared.records.truncate import truncate

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Encoder:
    """Encode the records of one stream, each as one JSON object.

    ``declared`` has the stream's fields; None keeps every field in its place (Data Collector API).
    ``added`` has the fields to add to each record; a record's own field of that name moves into
    ``AdditionalFields``. ``kept`` has the fields that keep their place, None all but ``reserved``.
    ``redact`` has the names of the fields to remove, at any depth.
    """

    def __init__(
        self,
        declared: frozenset[str] | None,
        added: Mapping[str, Any] | None = None,
        redact: Iterable[str] = (),
    ) -> None:
        self._added = dict(added or {})
        self.redactor = Redactor(redact)
        self.reserved = frozenset((TIME_GENERATED, *self._added))
        self.kept = None if declared is None else declared - {ADDITIONAL_FIELDS, *self.reserved}
        inside = dump_json(self._added)[1:-1]
        self._between = b",%b," % inside if inside else b","

    def __call__(self, record: Mapping[str, Any], time_generated: datetime) -> bytes:
        """Encode ``record`` in at most ``MAX_RECORD_BYTES`` bytes."""
        fields = frozenset(record)
        moved = fields & self.reserved if self.kept is None else fields - self.kept
        if moved:
            moved |= fields & {ADDITIONAL_FIELDS}  # its name is taken
        outgoing = {TIME_GENERATED: time_generated, **self._added}
        outgoing |= {name: value for name, value in record.items() if name not in moved}
        if moved:
            outgoing[ADDITIONAL_FIELDS] = {
                name: value for name, value in record.items() if name in moved
            }
        body = dump_json(outgoing)
        if self.redactor.may_be_in(body):
            outgoing = self.redactor.without(outgoing)
            body = dump_json(outgoing)
        return body if len(body) <= MAX_RECORD_BYTES else truncate(outgoing)

    def encode_verbatim(
        self, records: Sequence[Buffer], times_generated: Sequence[datetime]
    ) -> list[bytes]:
        """Put the added fields before each record's own JSON.

        The caller encodes a record by itself that is empty, too large, or has a field to move or a
        secret.
        """
        if not records:
            return []
        # One call for all times costs as much as a call for each of three.
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
    redact: Iterable[str] = (),
) -> bytes:
    """Encode a single record; see ``Encoder``."""
    return Encoder(declared, added, redact)(record, time_generated)
