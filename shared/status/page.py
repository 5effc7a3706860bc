"""The status page: one HTML document from ``templates/``; it loads nothing else, runs no script.

Jinja2 escapes every value (autoescape), and fails on a name that the context lacks. Import this
module for the page alone: no other function should pay for the import of Jinja2.
https://jinja.palletsprojects.com/en/stable/api/
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from shared.delivery.redrive import RedriveReport
from shared.diagnostics.connection_test import choices
from shared.diagnostics.steps import TestReport
from shared.status.dead_letters import Letters
from shared.status.model import LEFT_OUT, AppStatus
from shared.status.problems import problems, short
from shared.telemetry.humanize import ago, clock, many, size, span
from shared.telemetry.run import SEVERITY, RunState

TEMPLATES = Path(__file__).with_name("templates")
# So many connections are shown with all of their streams.
_WHOLE = 6
# So many hours that posts did not bring whole have a button each.
_MOST_HOURS = 24


@dataclass(frozen=True, slots=True)
class Headline:
    """Numbers below the page's state; ``counts`` are words such as ``2 late``, the worst first."""

    connectors: int
    streams: int
    counts: Sequence[str]


@functools.cache
def style() -> str:
    """Return the page's style sheet."""
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")


@functools.cache
def content_security_policy() -> str:
    """Return the policy: load, run and frame nothing; apply this style sheet alone."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )


@functools.cache
def environment() -> Environment:
    """Return the templates with their filters, compiled once a process."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(ago=ago, clock=clock, many=many, number=_number, size=size, span=span)
    made.filters["pretty"] = _pretty
    made.globals.update(LEFT_OUT=LEFT_OUT, MOST_HOURS=_MOST_HOURS, short=short)
    return made


@dataclass(frozen=True, slots=True)
class Result:
    """What a button did; ``notice``: the same in words, or why it did nothing.

    ``letters`` are dead letters to look at.
    """

    test: TestReport | None = None
    redriven: RedriveReport | None = None
    notice: str = ""
    letters: Letters | None = None


def page(status: AppStatus, result: Result | None = None, *, key: str = "") -> str:
    """Render the document, the result of a button first.

    ``key`` is the function's key in the address that the page was asked by: a link within the page
    carries it on. With more connections than ``_WHOLE`` each is a line, its streams on demand.
    """
    done = result or Result()
    return (
        environment()
        .get_template("page.html")
        .render(
            status=status,
            headline=headline(status),
            problems=problems(status),
            test_choices=choices(),
            test=done.test,
            redriven=done.redriven,
            notice=done.notice,
            letters=done.letters,
            key=key,
            whole=sum(connection.on for connection in status.connectors) <= _WHOLE,
            # Verbatim: the policy's hash is of these very bytes.
            style=Markup(style()),  # noqa: S704  (a file of this package)
        )
    )


def headline(status: AppStatus) -> Headline:
    """Count what is switched on: connectors, their streams, and the streams by state."""
    on = [connector for connector in status.connectors if connector.on]
    states = [stream.assessment.state for connector in on for stream in connector.streams]
    shown = [state for state in SEVERITY if state != RunState.OFF and state in states]
    return Headline(
        connectors=len(on),
        streams=sum(state != RunState.OFF for state in states),
        counts=[f"{states.count(state)} {state}" for state in shown],
    )


def _pretty(value: object) -> str:
    """Return ``value`` as indented JSON, in the order of its fields."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def _number(count: int) -> str:
    return f"{count:,}"
