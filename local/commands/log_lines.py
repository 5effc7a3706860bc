"""The app's log on a terminal: a line a run, in words; `--json` shows it as Azure has it."""

from __future__ import annotations

import json
import logging
from typing import Any

from shared.telemetry.humanize import many

Dimensions = dict[str, Any]
_QUIET = ("Executing ", "Executed ")


class Readable(logging.Formatter):
    """`stream_run {…}` as a line for people; every other line with its time."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        name, _, text = record.getMessage().partition(" ")
        try:
            dimensions = json.loads(text)
        except ValueError:
            dimensions = None
        if not isinstance(dimensions, dict):
            return super().format(record)
        words = _run(dimensions) if name == "stream_run" else _other(name, dimensions)
        return f"{self.formatTime(record, self.datefmt)} {words}"


def quiet(record: logging.LogRecord) -> bool:
    """Whether a line is worth a terminal: that a function is called, and went well, is not."""
    return record.levelno > logging.INFO or not record.getMessage().startswith(_QUIET)


def show_logs(*, as_json: bool) -> None:
    """Log to standard error, readable or as it is."""
    handler = logging.StreamHandler()
    if as_json:
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    else:
        handler.setFormatter(Readable())
        handler.addFilter(quiet)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("azure").setLevel(logging.WARNING)


def _run(run: Dimensions) -> str:
    who = f"{_who(run):<28} {run.get('Status', '')}: {many(int(run.get('Records') or 0), 'record')}"
    more = [
        f"{run['RepeatsSuppressed']:,} repeats" if run.get("RepeatsSuppressed") else "",
        f"{run['DeadLettered']:,} set aside" if run.get("DeadLettered") else "",
        many(int(run["Requests"]), "request") if run.get("Requests") else "",
        f"{run['Retries']:,} retried" if run.get("Retries") else "",
        f"{run.get('DurationSeconds') or 0:.1f} s",
        f"{_span(run['SecondsBehind'])} behind" if run.get("SecondsBehind") else "",
    ]
    line = ", ".join([who, *filter(None, more)])
    return f"{line}. {run['Message']}" if run.get("Message") else line


def _other(name: str, event: Dimensions) -> str:
    details = event.get("Message") or ", ".join(
        f"{key} {value}" for key, value in event.items() if key not in ("Connector", "Stream")
    )
    return f"{_who(event):<28} {name.replace('_', ' ')}: {details}"


def _who(event: Dimensions) -> str:
    stream = str(event.get("Stream") or "").removeprefix("Custom-")
    connector = str(event.get("Connector") or "")
    connection = f" {event['Connection']}" if event.get("Connection") else ""
    who = stream if stream.startswith(connector) else f"{connector} {stream}"
    return f"{who}{connection}".strip() or "the app"


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
