"""Post to the webhook, and read the results."""

from __future__ import annotations

import gzip
import importlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import azure.functions as func

from shared.azure import storage
from shared.delivery.dead_letter_blobs import listed
from shared.delivery.spool import QUEUE

STREAM = "Custom-OneLogin"
TOKEN = "a-token-of-onelogin"


def event(number: int, **fields: Any) -> dict[str, Any]:
    """One event of OneLogin's, known by its number."""
    return {
        "uuid": f"uuid-{number}",
        "create": {"_id": f"uuid-{number}"},
        "event_timestamp": "2026-03-05 19:13:06 UTC",
        "event_type_id": 5,
        "user_name": "Ada Lovelace",
        "ipaddr": "192.0.2.7",
        "notes": None,
        **fields,
    }


def events(count: int, start: int = 0) -> list[dict[str, Any]]:
    """``count`` events that differ in their numbers."""
    return [event(number) for number in range(start, start + count)]


def post(
    body: bytes | Sequence[Any] | dict[str, Any],
    *,
    authorization: str | None = f"Bearer {TOKEN}",
    **headers: str,
) -> func.HttpResponse:
    """The function's answer to one POST, as the Functions host hands it over."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    if authorization is not None:
        headers["Authorization"] = authorization
    request = func.HttpRequest(
        method="POST", url="https://localhost/api/OneLoginWebhook", headers=headers, body=content
    )
    answer: func.HttpResponse = importlib.import_module("OneLoginWebhook").main(request)
    return answer


def run_delivery_retry() -> int:
    """Hand every message that is visible now to DeliveryRetry, as the host would; their number."""
    queue = storage.queue(QUEUE)
    main = importlib.import_module("DeliveryRetry").main
    handled = 0
    for message in list(queue.receive_messages(visibility_timeout=60)):
        main(func.QueueMessage(id=message.id, body=message.content.encode()))
        queue.delete_message(message)
        handled += 1
    return handled


def dead_letters() -> Iterator[dict[str, Any]]:
    """Every line of every dead-letter blob."""
    for found in listed():
        blob = storage.container("dead-letters").download_blob(found.name).readall()
        for line in gzip.decompress(blob).splitlines():
            yield json.loads(line)
