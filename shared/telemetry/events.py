"""The log's events: a stable name and, as JSON behind it, stable dimensions.

The Functions host takes a Python worker's log line as its text alone: what ``extra=`` carries never
reaches Application Insights (Azure/azure-functions-python-worker issues 788, 1327 and 1681). So a
line is ``stream_run {"Connector": "Jira", …}``, which a query takes apart with ``parse_json``:
docs/logs.md has the queries, and a test compares its table with ``EVENTS``.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from shared.records.codec import dump_json

_RUN = (
    "Connector",
    "Stream",
    "Status",
    "Records",
    "Bytes",
    "BytesRead",
    "SecondsBehind",
    "DurationSeconds",
    "Requests",
    "Retries",
    "RepeatsSuppressed",
    "DeadLettered",
    "ErrorClass",
    "Message",
    "RunId",
)


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of line: its level, what it means, and the names of its dimensions."""

    level: int
    meaning: str
    dimensions: tuple[str, ...]


EVENTS = {
    "stream_run": Event(
        logging.INFO, "A stream had its run, or the webhook answered a request.", _RUN
    ),
    "stream_failed": Event(
        logging.ERROR,
        "A stream's run failed; its checkpoint stays, and the next run goes on from there.",
        ("Connector", "Stream", "ErrorClass", "Message", "RunId"),
    ),
    "stream_off": Event(
        logging.WARNING,
        "An optional stream that never worked was refused: off, and tried again hourly.",
        ("Connector", "Stream", "Message"),
    ),
    "connector_off": Event(
        logging.INFO,
        "None of a connector's settings are set: its timer does nothing.",
        ("Connector",),
    ),
    "dead_letters": Event(
        logging.ERROR,
        "Records cannot be delivered and are kept in the blob container dead-letters.",
        ("Stream", "Records", "Causes"),
    ),
    "events_spooled": Event(
        logging.WARNING,
        "Azure Monitor did not take the webhook's events: they go to the spool.",
        ("Connector", "ErrorClass", "Message"),
    ),
    "events_not_safe": Event(
        logging.ERROR,
        "Neither Azure Monitor nor the spool took the webhook's events: the sender was told 503.",
        ("Connector", "ErrorClass", "Message"),
    ),
    "webhook_refused": Event(
        logging.WARNING,
        "The webhook refused a request: a wrong token, or a body that is none.",
        ("Connector", "HttpStatus", "Message"),
    ),
    "webhook_not_set_up": Event(
        logging.ERROR,
        "The webhook cannot take events, because of a setting: the sender was told 503.",
        ("Connector", "Message"),
    ),
    "spool_waits": Event(
        logging.WARNING,
        "Spooled events could not be delivered yet and went back to the queue.",
        ("Stream", "ErrorClass", "Message"),
    ),
    "health_not_sent": Event(
        logging.WARNING,
        "Rows for ConnectorHealth_CL were not taken; the runs that they tell of are not affected.",
        ("Connector", "ErrorClass", "Message"),
    ),
    "history_not_kept": Event(
        logging.WARNING,
        "The webhook's counts for the status page could not be written yet.",
        ("Connector", "ErrorClass", "Message"),
    ),
    "connection_test": Event(
        logging.INFO,
        "Somebody tested the connections.",
        ("Tested", "Passed", "FailedSteps", "DurationSeconds"),
    ),
    "redriven": Event(
        logging.INFO,
        "Somebody had dead letters or poison messages sent again.",
        ("Redriven", "Sent", "Left", "Message"),
    ),
}


def emit(
    logger: logging.Logger, event: str, *, level: int | None = None, **dimensions: Any
) -> None:
    """One line of ``event``, at its own level or at ``level``; all its dimensions are given."""
    kind = EVENTS[event]
    if set(dimensions) != set(kind.dimensions):
        raise ValueError(f"{event} has the dimensions {', '.join(kind.dimensions)}")
    said = kind.level if level is None else level
    if logger.isEnabledFor(said):
        logger.log(said, "%s %s", event, dump_json(dimensions).decode())
