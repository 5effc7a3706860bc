"""Log events: a stable name, followed by stable dimensions as JSON.

The Functions host forwards only the text of a Python worker's log line: values in ``extra=`` never
reach Application Insights (Azure/azure-functions-python-worker issues 788, 1327 and 1681). So a
line is ``stream_run {"Connector": "Health", …}``, which a query parses with ``parse_json``:
docs/logs.md has the queries, and a test compares its table with ``EVENTS``.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from shared.records.codec import dump_json

_RUN = (
    "Connector",
    "Connection",
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
    """A kind of log line: its level, its meaning, and the names of its dimensions."""

    level: int
    meaning: str
    dimensions: tuple[str, ...]


EVENTS = {
    "stream_run": Event(
        logging.INFO, "A stream's run ended, or the webhook responded to a request.", _RUN
    ),
    "stream_failed": Event(
        logging.ERROR,
        "A stream's run failed; its checkpoint stays, and the next run resumes from it.",
        ("Connector", "Connection", "Stream", "ErrorClass", "Message", "RunId"),
    ),
    "stream_off": Event(
        logging.WARNING,
        "An optional stream that never worked was refused: off, and tried again hourly.",
        ("Connector", "Connection", "Stream", "Message"),
    ),
    "connector_off": Event(
        logging.INFO,
        "None of a connector's settings are set: its timer does nothing.",
        ("Connector",),
    ),
    "connection_held": Event(
        logging.INFO,
        "Another run holds the connection's lease: this one leaves the poll to it.",
        ("Connector", "Connection"),
    ),
    "connection_paused": Event(
        logging.INFO,
        "A person has paused the connection: its poll is left out.",
        ("Connector", "Connection"),
    ),
    "polls_handed_out": Event(
        logging.INFO,
        "A tick handed out the polls of several connections by the queue connection-polls.",
        ("Connector", "Polls", "PutOff"),
    ),
    "poll_dropped": Event(
        logging.INFO,
        "A message was dropped: a poll of its connection began after it was put in.",
        ("Connector", "Connection"),
    ),
    "connection_unknown": Event(
        logging.WARNING,
        "A message named a connection that this app lacks, and was dropped.",
        ("Connector", "Connection"),
    ),
    "connection_misconfigured": Event(
        logging.ERROR,
        "A setting's suffix names no connection: it is not polled, the others are.",
        ("Connector", "Connection", "Message"),
    ),
    "lease_lost": Event(
        logging.INFO,
        "A run's lease was no longer sure: the run ended early, and the next one goes on.",
        ("Connector", "Connection", "Message"),
    ),
    "run_not_ended": Event(
        logging.WARNING,
        "The run before began and never ended: killed, or out of memory.",
        ("Connector", "Connection", "Runs"),
    ),
    "dead_letters": Event(
        logging.ERROR,
        "Records cannot be delivered and are kept in the blob container dead-letters.",
        ("Stream", "Records", "Causes"),
    ),
    "dead_letters_discarded": Event(
        logging.WARNING,
        "A person deleted dead letters for good.",
        ("Stream", "Records", "Causes"),
    ),
    "events_spooled": Event(
        logging.WARNING,
        "Azure Monitor did not accept the webhook's events: they go to the spool.",
        ("Connector", "ErrorClass", "Message"),
    ),
    "events_not_safe": Event(
        logging.ERROR,
        "Neither Azure Monitor nor the spool accepted the webhook's events: the response was 503.",
        ("Connector", "ErrorClass", "Message"),
    ),
    "webhook_refused": Event(
        logging.WARNING,
        "The webhook refused a request: a wrong token, or an invalid body.",
        ("Connector", "HttpStatus", "Message"),
    ),
    "webhook_not_set_up": Event(
        logging.ERROR,
        "A setting keeps the webhook from accepting events: the response was 503.",
        ("Connector", "Message"),
    ),
    "spool_waits": Event(
        logging.WARNING,
        "Spooled events could not be delivered yet and went back to the queue.",
        ("Stream", "ErrorClass", "Message"),
    ),
    "health_not_sent": Event(
        logging.WARNING,
        "Rows for ConnectorHealth_CL were not accepted; their runs are not affected.",
        ("Connector", "Connection", "ErrorClass", "Message"),
    ),
    "history_not_kept": Event(
        logging.WARNING,
        "The webhook's counts for the status page could not be written yet.",
        ("Connector", "ErrorClass", "Message"),
    ),
    "connection_test": Event(
        logging.INFO,
        "A connection test was run from the status page.",
        ("Tested", "Passed", "FailedSteps", "DurationSeconds"),
    ),
    "operated": Event(
        logging.WARNING,
        "A person reset or replayed a stream, paused or resumed a connection, or fetched an hour.",
        ("Action", "Connector", "Connection", "Stream", "Message"),
    ),
    "redriven": Event(
        logging.INFO,
        "Dead letters or poison messages were redriven from the status page.",
        ("Redriven", "Sent", "Left", "Message"),
    ),
}


def emit(
    logger: logging.Logger, event: str, *, level: int | None = None, **dimensions: Any
) -> None:
    """Log one line of ``event``, at its own level unless ``level`` is given.

    Raises ValueError unless exactly the event's dimensions are given.
    """
    kind = EVENTS[event]
    if set(dimensions) != set(kind.dimensions):
        raise ValueError(f"{event} has the dimensions {', '.join(kind.dimensions)}")
    level = kind.level if level is None else level
    if logger.isEnabledFor(level):
        logger.log(level, "%s %s", event, dump_json(dimensions).decode())
