"""Encode records for Azure Monitor.

Keep a record's JSON as the vendor sent it, except: add ``TimeGenerated`` and the connector's own
fields; move top-level fields that the stream does not declare into ``AdditionalFields``, because
Azure Monitor drops undeclared fields without an error; remove secrets; cut a record over the limit.
https://learn.microsoft.com/azure/azure-monitor/logs/logs-ingestion-api-overview
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from shared.records.codec import dump_json
from shared.records.declared import ADDITIONAL_FIELDS, CONNECTION, MAX_RECORD_BYTES, TIME_GENERATED
from shared.records.redact import Redactor
from shared.records.truncate import truncate

if TYPE_CHECKING:
    from typing_extensions import Buffer

Moving = Sequence[tuple[str, bytes]] | None
"""The fields of a record that must move, with their JSON; None if it must be decoded to tell."""

_OPENING = b'{"%b":' % TIME_GENERATED.encode()
_COMMA = ord(",")
_EXTRA = b',"%b":{' % ADDITIONAL_FIELDS.encode()
# Fields that move into AdditionalFields under another name.
_MOVED_NAMES = {CONNECTION: f"_{CONNECTION}"}
# A letter, digit or sign of ASCII written as an escape: a key may then have another spelling.
_ESCAPED_ASCII = re.compile(rb"\\u00[2-7]")
# Of printable ASCII, the slash alone has a second spelling (\\/) that is no such escape.
_ONE_SPELLING = re.compile(r"[ -.0-~]+")


class Encoder:
    """Encode the records of one stream, each as one JSON object.

    ``declared`` has the stream's fields; None keeps every field in its place (Data Collector API).
    ``added`` has the fields to add to each record; a record's own field of that name moves into
    ``AdditionalFields``. ``kept`` has the fields that keep their place, None all but ``reserved``.
    ``redact`` has the names of the fields to remove, at any depth. ``connection`` is the name of a
    named connection, added as ``AdditionalFields.Connection`` (``Connection`` where every field
    keeps its place): a field of that name that moves there becomes ``_Connection``, so that no
    sender can say whose a record is.
    """

    def __init__(
        self,
        declared: frozenset[str] | None,
        added: Mapping[str, Any] | None = None,
        redact: Iterable[str] = (),
        connection: str = "",
    ) -> None:
        self._added = dict(added or {})
        self._additional = {CONNECTION: connection} if connection else {}
        if declared is None:
            self._added |= self._additional
            self._additional = {}
        self.redactor = Redactor(redact)
        whose = (CONNECTION,) if declared is None else ()
        self.reserved = frozenset((TIME_GENERATED, *whose, *self._added))
        self.kept = None if declared is None else declared - {ADDITIONAL_FIELDS, *self.reserved}
        self._before = _members(self._added)
        self._inside = _members(self._additional)
        self._between = self._before
        if self._inside:
            self._between += b'"%b":{%b},' % (ADDITIONAL_FIELDS.encode(), self._inside[:-1])

    def __call__(self, record: Mapping[str, Any], time_generated: datetime) -> bytes:
        """Encode ``record`` in at most ``MAX_RECORD_BYTES`` bytes."""
        fields = frozenset(record)
        moved = fields & self.reserved if self.kept is None else fields - self.kept
        if moved:
            moved |= fields & {ADDITIONAL_FIELDS}  # its name is taken
        outgoing = {TIME_GENERATED: time_generated, **self._added}
        outgoing |= {name: value for name, value in record.items() if name not in moved}
        if moved or self._additional:
            outgoing[ADDITIONAL_FIELDS] = self._additional | {
                _MOVED_NAMES.get(name, name): value
                for name, value in record.items()
                if name in moved
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
        return [
            b"".join((_OPENING, time, b",", self._between, memoryview(record)[1:]))
            for time, record in zip(_json_times(times_generated), records, strict=True)
        ]

    def encode_moving(
        self,
        records: Sequence[Buffer],
        times_generated: Sequence[datetime],
        moving: Sequence[Moving],
    ) -> list[bytes]:
        """As ``encode_verbatim``, with each record's ``moving`` fields in ``AdditionalFields``.

        Empty where they cannot be cut out for sure: the caller encodes such a record by itself.
        """
        times = _json_times(times_generated)
        return [
            b"" if fields is None else self._cut(bytes(record), time, fields)
            for record, time, fields in zip(records, times, moving, strict=True)
        ]

    def _cut(self, record: bytes, time: bytes, fields: Sequence[tuple[str, bytes]]) -> bytes:
        """Cut each field's bytes out of a record, and put them into ``AdditionalFields``.

        Empty where it cannot tell a field's place for sure (its name occurs twice or has more than
        one spelling, or the JSON has white space or escaped letters), or where a field gets another
        name, none is left, or the record may keep an ``AdditionalFields`` in its place.
        """
        if self.kept is None or (b"\\" in record and _ESCAPED_ASCII.search(record)):
            return b""
        inside = self._inside
        for name, value in fields:
            key = _key_to_cut(name)
            at = record.find(key) if key else -1
            ends = at + len(key) + 1 + len(value)
            member = record[at:ends]
            if member != b"%b:%b" % (key, value) or record.find(key, ends) != -1:
                return b""
            # A comma goes with it: the one before, or that behind the first.
            if record[at - 1] == _COMMA:
                record = record[: at - 1] + record[ends:]
            elif at == 1 and record[ends] == _COMMA:
                record = b"{" + record[ends + 1 :]
            else:
                return b""
            inside += member + b","
        if not inside:
            return b"".join((_OPENING, time, b",", self._before, record[1:]))
        own = (_OPENING, time, b",", self._before, record[1:-1])
        return b"".join((*own, _EXTRA, inside[:-1], b"}}"))


def encode(
    record: Mapping[str, Any],
    *,
    time_generated: datetime,
    declared: frozenset[str] | None,
    added: Mapping[str, Any] | None = None,
    redact: Iterable[str] = (),
    connection: str = "",
) -> bytes:
    """Encode a single record; see ``Encoder``."""
    return Encoder(declared, added, redact, connection)(record, time_generated)


def _json_times(times: Sequence[datetime]) -> list[bytes]:
    # One call for all times costs as much as a call for each of three.
    return orjson.dumps(times, option=orjson.OPT_UTC_Z)[1:-1].split(b",") if times else []


def _members(values: Mapping[str, Any]) -> bytes:
    """The members of an object, each with a comma behind it."""
    inside = dump_json(values)[1:-1]
    return inside + b"," if inside else b""


@functools.lru_cache(maxsize=1024)
def _key_to_cut(name: str) -> bytes:
    """The only JSON of a field's name; empty where it has several, or the field gets another."""
    plain = name not in _MOVED_NAMES and _ONE_SPELLING.fullmatch(name)
    return dump_json(name) if plain else b""
