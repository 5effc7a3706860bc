"""Dead letters: records that Azure Monitor refuses for good, stored for a person to inspect.

A blob of the container ``dead-letters`` is gzip NDJSON, a line a record: ``record`` (as encoded for
the sink; text if it is not JSON, a base64 data URL if it is not UTF-8 or over 1 MB), ``stream``,
``status`` (0: no HTTP response), ``message``, the reason, and ``connection`` where it has a name.
Blobs are named ``<stream>/<yyyy-mm-dd>/<hhmmss>-<uuid>.ndjson.gz``, what a webhook cannot read
``<stream>/unreadable/<sha256>.ndjson.gz``; their metadata ``causes`` counts their records by cause
(``{"HTTP 400 InvalidRecord": 3}``), so that the status page does not open them, and ``connection``
says whose they are.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import logging
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import shared.azure.storage
from shared.azure.storage import Storage, create_on_first_use, storage_errors
from shared.delivery.batch import compress
from shared.records.codec import dump_json, parse_json
from shared.records.declared import MAX_RECORD_BYTES
from shared.records.timestamps import utc_now
from shared.telemetry.events import emit

logger = logging.getLogger("connectors.delivery")

CONTAINER = "dead-letters"
# End a blob once its records have so many bytes, before compression.
_BLOB_BYTES = 4_000_000
# Keep JSON of more levels as text: it can be decoded a little deeper than it can be encoded, and
# the line must be readable by whatever opens the blob.
_MOST_LEVELS = 200
OTHER_CAUSES = "other causes"
_MOST_CAUSES = 20
_BASE64 = b"data:;base64,"
# Azure Monitor's error code, before its explanation: "InvalidRecord: …".
_CODE = re.compile(r"^[A-Za-z]{3,60}(?=:)")


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that cannot be delivered: its bytes, the HTTP status (0: none) and the reason."""

    record: bytes
    status: int
    message: str

    @property
    def code(self) -> str:
        """Return Azure Monitor's error code, or an empty string."""
        match = _CODE.match(self.message)
        return match.group() if match else ""

    @property
    def cause(self) -> str:
        """Return the reason without data of the record: ``HTTP 400 InvalidRecord``."""
        if not self.status:
            return self.message.partition(":")[0][:100]
        return f"HTTP {self.status} {self.code}".rstrip()

    def line(self, stream: str, connection: str = "") -> bytes:
        """Return the record's line in the blob."""
        whose = {"connection": connection} if connection else {}
        return dump_json(
            {
                "record": _readable(self.record),
                "stream": stream,
                "status": self.status,
                "message": self.message,
                **whose,
            }
        )


def _readable(record: bytes) -> Any:
    """Return the record for its line: JSON, else text, else base64 in a data URL.

    Decode nothing over the size of a record: its Python objects would take many times its bytes.
    https://www.rfc-editor.org/rfc/rfc2397
    """
    if len(record) <= MAX_RECORD_BYTES:
        with contextlib.suppress(ValueError, RecursionError):
            value = parse_json(record)
            if not _is_deeper(value, _MOST_LEVELS):
                return value
        with contextlib.suppress(UnicodeDecodeError):
            return record.decode("utf-8")
    elif record.startswith(_BASE64):
        return record.decode("ascii")
    return (_BASE64 + base64.b64encode(record)).decode("ascii")


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return not levels or any(_is_deeper(each, levels - 1) for each in inner)


class DeadLetterSink(Protocol):
    """The seam for records that Azure Monitor refuses for good."""

    def put(self, stream: str, refused: Sequence[Refused], connection: str = "") -> None:
        """Store ``refused`` of ``connection`` ('': the one without a name).

        Raises ``StorageUnavailable`` if they could not be stored.
        """
        ...


class DeadLetters:
    """The container ``dead-letters`` of the app's storage account."""

    def __init__(
        self, storage: Storage = shared.azure.storage, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._storage = storage
        self._now = now

    def put(self, stream: str, refused: Sequence[Refused], connection: str = "") -> None:
        """Store ``refused``, and log how many; raises ``StorageUnavailable``.

        Count no record as delivered before this returns.
        """
        for entries in _in_blobs(refused):
            name = f"{stream}/{self._now():%Y-%m-%d/%H%M%S}-{uuid.uuid4().hex}.ndjson.gz"
            self._write(stream, name, entries, connection)
        if refused:
            _emit(stream, refused)

    def put_once(self, stream: str, refused: Sequence[Refused], connection: str = "") -> None:
        """Store ``refused`` as ``put`` does, unless the same records are stored already.

        A sender repeats a post that is not answered 200. Raises ``StorageUnavailable``.
        """
        digest = _digest(refused, connection)
        for number, entries in enumerate(_in_blobs(refused)):
            part = f"-{number}" if number else ""
            name = f"{stream}/unreadable/{digest}{part}.ndjson.gz"
            if self._write(stream, name, entries, connection):
                _emit(stream, entries)

    def _write(self, stream: str, name: str, entries: Sequence[Refused], connection: str) -> bool:
        """Write a blob; return whether there was none of that name."""
        from azure.core.exceptions import ResourceExistsError

        body = content(stream, entries, connection)
        about = metadata(entries, connection)
        with storage_errors("Writing to the blob container dead-letters"):
            container = self._storage.container(CONTAINER)
            try:
                create_on_first_use(
                    container.create_container,
                    lambda: container.upload_blob(name, body, metadata=about),
                )
            except ResourceExistsError:
                return False
        return True


def _emit(stream: str, refused: Sequence[Refused]) -> None:
    causes = ", ".join(sorted({entry.cause for entry in refused}))
    emit(logger, "dead_letters", Stream=stream, Records=len(refused), Causes=causes)


def _digest(entries: Sequence[Refused], connection: str) -> str:
    whose = [connection.encode()] if connection else []
    return hashlib.sha256(b"\n".join([*whose, *(each.record for each in entries)])).hexdigest()


def content(stream: str, entries: Sequence[Refused], connection: str = "") -> bytes:
    """Return a blob's content: gzip NDJSON."""
    return compress(b"\n".join(entry.line(stream, connection) for entry in entries) + b"\n")


def metadata(entries: Sequence[Refused], connection: str = "") -> dict[str, str]:
    """Return a blob's metadata: the number of records for each cause, as ASCII JSON.

    Metadata hold 8 KB: causes beyond the most frequent ``_MOST_CAUSES`` count as ``OTHER_CAUSES``.
    """
    counted = Counter(entry.cause for entry in entries)
    causes = dict(counted.most_common(_MOST_CAUSES))
    if others := counted.total() - sum(causes.values()):
        causes[OTHER_CAUSES] = others
    whose = {"connection": connection} if connection else {}
    return {"causes": json.dumps(causes), **whose}


def _in_blobs(refused: Sequence[Refused]) -> Iterator[list[Refused]]:
    entries: list[Refused] = []
    size = 0
    for entry in refused:
        entries.append(entry)
        size += len(entry.record)
        if size >= _BLOB_BYTES:
            yield entries
            entries, size = [], 0
    if entries:
        yield entries
