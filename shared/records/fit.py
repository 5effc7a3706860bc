"""Fit an encoded record to a sink that declares other fields than the one it was encoded for.

A record may wait, in the spool or as a dead letter, while the app's settings move from the Data
Collector API, which takes any field in its place, to the Logs Ingestion API, which drops those that
a stream does not declare without an error.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shared.records.codec import dump_json, parse_json
from shared.records.declared import ADDITIONAL_FIELDS, MAX_RECORD_BYTES, TIME_GENERATED
from shared.records.truncate import truncate

_names_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def fit_record(record: bytes, declared: frozenset[str] | None) -> bytes:
    """``record`` with its undeclared fields in ``AdditionalFields``, as the encoder has them.

    ``declared`` has the sink's fields of the stream, None where it takes any; a record that fits,
    or is no JSON object, stays as it is.
    """
    if declared is None:
        return record
    try:
        names = _names_of(record).keys()
    except msgspec.DecodeError:
        return record
    moved = names - declared - {TIME_GENERATED, ADDITIONAL_FIELDS}
    if not moved:
        return record
    fields: dict[str, Any] = parse_json(record)
    held = fields.get(ADDITIONAL_FIELDS)
    if not isinstance(held, dict):
        held = {} if held is None else {ADDITIONAL_FIELDS: held}
    outgoing = {name: value for name, value in fields.items() if name not in moved}
    outgoing[ADDITIONAL_FIELDS] = held | {name: fields[name] for name in fields if name in moved}
    body = dump_json(outgoing)
    return body if len(body) <= MAX_RECORD_BYTES else truncate(outgoing)
