"""What all of SentinelOne's answers have in common: lists, errors in a 200, paths."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from shared.records.raw import Record, records_of
from shared.source.client import ApiResponse
from shared.source.stream import Window

API = "/web/api/v2.1"

logger = logging.getLogger("connectors.sentinelone")


def epoch_milliseconds(window: Window) -> tuple[int, int]:
    """The window in milliseconds since 1970, rounded outwards so that no edge is lost."""
    return int(window.start.timestamp() * 1000), int(window.end.timestamp() * 1000) + 1


class Listed(msgspec.Struct):
    """What a list endpoint answers."""

    data: list[Record]
    pagination: Any = None
    errors: Any = None


def list_of(response: ApiResponse, *names: str) -> list[Record]:
    """The records at ``names``; an error in a 200 is an error all the same."""
    body = response.json
    errors = body.get("errors") if isinstance(body, dict) else None
    summary = _summarize_errors(errors) if errors and errors != [None] else ""
    if summary and not isinstance(body.get("data"), dict | list):
        raise response.invalid(f"with an error in a 200: {summary}")
    records = records_of(response.require(*names))
    if records is None:
        raise response.invalid(f"with a {'.'.join(names)!r} that is no list of objects")
    if summary and not records:
        # An empty list beside an error does not say that there is nothing.
        raise response.invalid(f"with an error in a 200: {summary}")
    if summary:
        logger.warning(
            "%s answered %s with data and an error: %s", response.vendor, response.path, summary
        )
    return records


def _summarize_errors(errors: Any) -> str:
    """The codes and titles of an answer's errors; details could quote a record."""
    found = errors if isinstance(errors, list) else [errors]
    texts = [f"{e.get('code', '')} {e.get('title', '')}" for e in found if isinstance(e, dict)]
    return "; ".join(text.strip() for text in texts)[:200] or "it does not say which"


def total(pagination: Any) -> int | None:
    total = pagination.get("totalItems") if isinstance(pagination, dict) else None
    return total if isinstance(total, int) else None
