"""OneLogin's event broadcaster: posts batches to a webhook, and retries until a 200."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import requests

Event = dict[str, Any]
# The product page calls the array "JSON Array" and the lines "SIEM"; field reports show both lines.
Format = Literal["array", "ndjson", "ndjson-event", "object"]
BATCH = 10
ATTEMPTS = 5


@dataclass(slots=True)
class OneLogin:
    """A sender to a webhook; `sent` holds each event that the webhook answered 200 for."""

    url: str
    token: str
    format: Format = "array"
    compress: bool = False
    timeout: float = 30.0
    sent: list[Event] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def post(self, events: Sequence[Event]) -> requests.Response:
        """Post the events once; return the response, whatever its status."""
        body = encoded(events, self.format)
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "User-Agent": "OneLogin Event Broadcaster",
        }
        if self.compress:
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        response = requests.post(self.url, data=body, headers=headers, timeout=self.timeout)
        self.statuses.append(response.status_code)
        if response.status_code == 200:
            self.sent += events
        return response

    def broadcast(self, events: Sequence[Event], batch: int = BATCH) -> list[Event]:
        """Post in batches, each up to ATTEMPTS times; return the events that were never taken."""
        failed: list[Event] = []
        for part in batches(events, batch):
            if not any(self.post(part).status_code == 200 for _ in range(ATTEMPTS)):
                failed += part
        return failed


def batches(events: Sequence[Event], size: int) -> Iterator[list[Event]]:
    """Split the events into parts of at most `size`."""
    rest = iter(events)
    while part := list(islice(rest, size)):
        yield part


def encoded(events: Sequence[Event], form: Format) -> bytes:
    """Encode the body of a POST."""
    if form == "array":
        return json.dumps(list(events)).encode()
    if form == "object":
        return json.dumps(events[0]).encode()
    lines = events if form == "ndjson" else [{"event": event} for event in events]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
