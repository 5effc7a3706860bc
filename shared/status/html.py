"""Small pieces of HTML; every piece of text is escaped here, and nowhere else."""

from __future__ import annotations

import html
from datetime import datetime

from shared.status.model import Assessment
from shared.telemetry.humanize import ago, clock
from shared.telemetry.run import RunState

# A state's class in page.css, and its mark in a square of 16; the word stands beside it.
_MARKS = {
    RunState.OK: ("ok", "M3 8.5l3.2 3.2L13 4.8"),
    RunState.CATCHING_UP: ("busy", "M3 3.5L7.5 8 3 12.5M8.5 3.5L13 8l-4.5 4.5"),
    RunState.LATE: ("late", "M8 1.8a6.2 6.2 0 1 0 .01 0M8 4.5V8l2.6 1.8"),
    RunState.FAILING: ("failing", "M3.5 3.5l9 9M12.5 3.5l-9 9"),
    RunState.OFF: ("off", "M3.5 8h9"),
}


def text(value: object) -> str:
    """Escaped, for an element or a quoted attribute."""
    return html.escape(str(value), quote=True)


def colour(state: RunState) -> str:
    """The class of a state."""
    return _MARKS[state][0]


def mark(state: RunState) -> str:
    """A state's drawing, for the eye alone."""
    path = _MARKS[state][1]
    return (
        '<svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="2" '
        'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">'
        f'<path d="{path}"/></svg>'
    )


def badge(state: RunState, words: str = "") -> str:
    """A state in colour and in words."""
    return f'<span class="state {colour(state)}">{mark(state)}{text(words or state)}</span>'


def when(moment: datetime | None, now: datetime, never: str = "never") -> str:
    """``12 minutes ago``, with the time itself for whoever points at it."""
    if moment is None:
        return text(never)
    return (
        f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}" title="{clock(moment)}">'
        f"{text(ago(now - moment))}</time>"
    )


def told(assessment: Assessment) -> str:
    """The reason, and what to do where there is something."""
    advice = f'<p class="do"><b>What to do:</b> {text(assessment.advice)}</p>'
    return f"<p>{text(assessment.reason)}</p>{advice if assessment.advice else ''}"
