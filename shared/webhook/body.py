"""Split a webhook's body into its elements, within bounds of memory.

Elements stay JSON text here: a body of a few kilobytes may hold millions of them, and 32 MB of
``{}`` would take a gigabyte once decoded. Count first, then split, then decode one at a time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from isal import igzip_lib, isal_zlib

from shared.records.codec import dump_json, parse_json

MAX_BYTES = 32 * 1024 * 1024
MAX_EVENTS = 50_000
# A body over either of these costs enough memory to be read one of two at a time.
LARGE_BYTES = 4 * 1024 * 1024
_LARGE_COMMAS = 250_000
# A raw element takes 64 bytes: split nothing that could take over 128 MB. 50,000 events of 40
# fields each fit.
_MAX_COMMAS = 2_000_000
# Decode no element whose Python objects could take more bytes than this.
_MAX_DECODED_BYTES = 64_000_000
_GZIP_MAGIC = b"\x1f\x8b"
# The stub declares the class as a value of type Exception.
_GZIP_ERROR = cast("type[Exception]", igzip_lib.IsalError)
_GZIP_WBITS = 31  # zlib's largest window, with gzip header and trailer
# Cap gzip members: a body of millions is a denial of service.
_MAX_GZIP_MEMBERS = 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE = re.compile(rb"\S[^\n]*")
_NO_JSON = "is neither a JSON array, nor an object, nor NDJSON"

_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_value = msgspec.json.Decoder(msgspec.Raw).decode


class BodyRefused(Exception):
    """The body is invalid: ``status`` is the HTTP status, ``str()`` the reason.

    ``body`` is what to keep of it, empty where there is nothing to keep.
    """

    def __init__(self, status: int, reason: str, body: bytes = b"") -> None:
        self.status = status
        self.body = body
        super().__init__(reason)


class ElementUnreadable(Exception):
    """An element is no JSON, or cannot be decoded within bounds; ``str()`` is the reason."""


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of a body as JSON text, and its lines that are no JSON, as they came."""

    values: Sequence[bytes | msgspec.Raw]
    unreadable: Sequence[bytes] = ()


def unpack(body: bytes, limit: int = MAX_BYTES) -> bytes | None:
    """Return the body without gzip, byte order mark and outer white space; None over ``limit``.

    Detect gzip by its first bytes: no UTF-8 text begins with them, and a proxy may have unpacked a
    body whose ``Content-Encoding`` still says gzip. Raises ``BodyRefused`` (400) for broken gzip
    and for an empty body.
    """
    if len(body) > limit:
        return None
    text: bytes | None = body
    if body.startswith(_GZIP_MAGIC):
        text = _gunzip(body, limit)
    if text is None:
        return None
    text = text.removeprefix(_BYTE_ORDER_MARK).strip()
    if not text:
        raise BodyRefused(400, "The body is empty")
    return text


def is_large(text: bytes) -> bool:
    """Return whether reading ``text`` takes enough memory to count as a large post."""
    return len(text) > LARGE_BYTES or text.count(b",") > _LARGE_COMMAS


def elements(text: bytes) -> Elements:
    """Split into the elements of a JSON array, the single JSON object, or the lines of NDJSON.

    Raises ``BodyRefused``: 413 for more than ``MAX_EVENTS``, 400 for a body without any JSON.
    """
    if text.startswith(b"["):
        found = _whole_array(text)
    elif text.startswith(b"{"):
        found = _whole_object(text)
    elif _is_json(text):
        reason = "The body is a bare value: a JSON array, object or NDJSON is expected"
        raise BodyRefused(400, reason, text)
    else:
        found = None
    if found is None:
        found = _lines(text)
    if len(found.values) + len(found.unreadable) > MAX_EVENTS:
        raise too_many()
    return found


def decode(element: bytes | msgspec.Raw) -> Any:
    """Decode one element; raises ``ElementUnreadable``."""
    raw = bytes(element)
    if _decoded_bytes(raw) > _MAX_DECODED_BYTES:
        raise ElementUnreadable("An element is too large to be decoded")
    try:
        return parse_json(raw)
    except RecursionError as error:
        raise ElementUnreadable("An element is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ElementUnreadable("An element is not UTF-8") from error
    except ValueError as error:
        raise ElementUnreadable("An element is not JSON") from error


def too_large() -> BodyRefused:
    """The refusal of a body over ``MAX_BYTES``."""
    return BodyRefused(413, f"The body is larger than {MAX_BYTES // 1024 // 1024} MB")


def too_many() -> BodyRefused:
    """The refusal of a body of more than ``MAX_EVENTS``."""
    return BodyRefused(413, f"The body holds more than {MAX_EVENTS:,} events")


def _nested(text: bytes) -> BodyRefused:
    return BodyRefused(400, "The body is nested too deeply", text)


def _whole_array(text: bytes) -> Elements | None:
    """Return the elements of ``text`` if it is one JSON array; None if it may be lines."""
    if text.count(b",") > _MAX_COMMAS:
        raise too_many()
    try:
        return Elements(_array(text))
    except (msgspec.DecodeError, RecursionError):
        lax = _decode_lax(text)
    if isinstance(lax, list):
        try:
            return Elements([dump_json(value) for value in lax])
        except RecursionError as error:
            raise _nested(text) from error
    first = text.partition(b"\n")[0]
    if first != text and _is_json(first.strip()):
        return None
    # Never take a broken array that spans lines for NDJSON: its inner lines end with commas.
    raise BodyRefused(400, f"The body {_NO_JSON}", text)


def _whole_object(text: bytes) -> Elements | None:
    """Return ``text`` if it is one JSON object; None if it may be lines."""
    if _is_json(text):
        return Elements([text])
    return Elements([text]) if isinstance(_decode_lax(text), dict) else None


def _decode_lax(text: bytes) -> Any:
    """Decode what msgspec refuses and the codec takes, such as NaN; None if it is no JSON."""
    try:
        return decode(text)
    except ElementUnreadable as error:
        if "nested" in str(error):
            raise _nested(text) from error
        return None


def _is_json(text: bytes) -> bool:
    try:
        _value(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _lines(text: bytes) -> Elements:
    """Split NDJSON; skip blank lines, and flatten a line's array."""
    values: list[bytes | msgspec.Raw] = []
    unreadable: list[bytes] = []
    for number, match in enumerate(_LINE.finditer(text), start=1):
        if max(number, len(values)) > MAX_EVENTS:
            raise too_many()
        line = match.group().rstrip()
        if line.startswith(b"[") and line.count(b",") <= _MAX_COMMAS and _is_json(line):
            values.extend(_array(line))
        elif _is_json(line) or _is_lax_object(line):
            values.append(line)
        else:
            unreadable.append(line)
    if not any(bytes(value).startswith(b"{") for value in values):
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BodyRefused(400, f"The body is not UTF-8 (byte {error.start})", text) from error
        found = "The body's lines hold no JSON object" if values else f"The body {_NO_JSON}"
        raise BodyRefused(400, found, text)
    return Elements(values, unreadable)


def _is_lax_object(line: bytes) -> bool:
    try:
        return isinstance(decode(line), dict)
    except ElementUnreadable:
        return False


def _decoded_bytes(raw: bytes) -> int:
    """Return a bound of what ``raw`` takes once decoded: text, dicts, lists, items, strings."""
    return (
        len(raw) * (1 if raw.isascii() else 4)
        + raw.count(b"{") * 240
        + raw.count(b"[") * 88
        + raw.count(b",") * 48
        + raw.count(b'"') * 32
    )


def _gunzip(body: bytes, limit: int) -> bytes | None:
    """Unpack every gzip member; None if they hold more than ``limit`` bytes."""
    parts: list[bytes] = []
    room = limit
    rest = body
    for _ in range(_MAX_GZIP_MEMBERS):
        unpacker = isal_zlib.decompressobj(wbits=_GZIP_WBITS)
        try:
            part = unpacker.decompress(rest, room + 1)
        except _GZIP_ERROR as error:
            raise BodyRefused(400, "The body is not whole gzip", body) from error
        if len(part) > room:
            return None
        if not unpacker.eof:
            raise BodyRefused(400, "The body is not whole gzip: its end is missing", body)
        parts.append(part)
        room -= len(part)
        rest = unpacker.unused_data
        if not rest:
            return parts[0] if len(parts) == 1 else b"".join(parts)
    raise BodyRefused(400, "The body is gzip of too many parts", body)
