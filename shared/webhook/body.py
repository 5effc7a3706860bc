"""Parse a webhook's body into its elements: gunzip within bounds, then decode JSON or NDJSON."""

from __future__ import annotations

from typing import Any, cast

from isal import igzip_lib, isal_zlib

from shared.records.codec import parse_json

MAX_BYTES = 32 * 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
# The stub declares the class as a value of type Exception.
_GZIP_ERROR = cast("type[Exception]", igzip_lib.IsalError)
_GZIP_WBITS = 31  # zlib's largest window, with gzip header and trailer
# Cap gzip members: a body of millions is a denial of service.
_MAX_GZIP_MEMBERS = 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class BodyRefused(Exception):
    """The body is invalid: ``status`` is the HTTP status, ``str()`` the reason."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(reason)


def elements(body: bytes) -> list[Any]:
    """Return the elements of a JSON array, the single JSON object, or the lines of NDJSON.

    Detect gzip by its first bytes: no UTF-8 text begins with them, and a proxy may have unpacked a
    body whose ``Content-Encoding`` still says gzip. Raises ``BodyRefused``: 413 for more than
    ``MAX_BYTES`` before or after gunzip, 400 for a body that cannot be parsed.
    """
    if len(body) > MAX_BYTES:
        raise _too_large()
    if body.startswith(_GZIP_MAGIC):
        body = _gunzip(body)
    body = body.removeprefix(_BYTE_ORDER_MARK).strip()
    if not body:
        raise BodyRefused(400, "The body is empty")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BodyRefused(400, f"The body is not UTF-8 (byte {error.start})") from error
    try:
        value = parse_json(body)
    except RecursionError as error:
        raise BodyRefused(400, "The body is nested too deeply") from error
    except ValueError:
        return _lines(body)
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [value]
    raise BodyRefused(400, "The body is a bare value: a JSON array, object or NDJSON is expected")


def _lines(body: bytes) -> list[Any]:
    """Return the values of NDJSON lines; skip blank lines, and flatten a line's array."""
    lines = body.split(b"\n")
    if len(lines) == 1:
        raise BodyRefused(400, "The body is neither a JSON array, nor an object, nor NDJSON")
    values: list[Any] = []
    for number, line in enumerate(lines, start=1):
        if not (text := line.strip()):
            continue
        try:
            value = parse_json(text)
        except (ValueError, RecursionError) as error:
            raise BodyRefused(
                400,
                "The body is neither a JSON array, nor an object, nor NDJSON: "
                f"line {number} is not JSON",
            ) from error
        if isinstance(value, list):
            values.extend(value)
        else:
            values.append(value)
    if not any(isinstance(value, dict) for value in values):
        raise BodyRefused(400, "The body's lines hold no JSON object")
    return values


def _gunzip(body: bytes) -> bytes:
    parts: list[bytes] = []
    room = MAX_BYTES
    rest = body
    for _ in range(_MAX_GZIP_MEMBERS):
        unpacker = isal_zlib.decompressobj(wbits=_GZIP_WBITS)
        try:
            part = unpacker.decompress(rest, room + 1)
        except _GZIP_ERROR as error:
            raise BodyRefused(400, "The body is not whole gzip") from error
        if len(part) > room:
            raise _too_large()
        if not unpacker.eof:
            raise BodyRefused(400, "The body is not whole gzip: its end is missing")
        parts.append(part)
        room -= len(part)
        rest = unpacker.unused_data
        if not rest:
            return b"".join(parts)
    raise BodyRefused(400, "The body is gzip of too many parts")


def _too_large() -> BodyRefused:
    return BodyRefused(413, f"The body is larger than {MAX_BYTES // 1024 // 1024} MB")
