"""The status page: one HTML document, made here, that needs nothing else and runs no script."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.delivery.backlog import Queue
from shared.delivery.redrive import RedriveReport
from shared.diagnostics.steps import FAILED, SKIPPED, Step, TestReport
from shared.status.html import badge, colour, mark, text, told
from shared.status.model import SEVERITY, AppStatus, Assessment
from shared.status.page_streams import connector_section, short
from shared.telemetry.humanize import clock, span
from shared.telemetry.run import RunState

_HEADLINES = {
    RunState.OK: "All is well",
    RunState.CATCHING_UP: "Catching up",
    RunState.LATE: "Something needs a look",
    RunState.FAILING: "Something fails",
    RunState.OFF: "Nothing is switched on",
}
_STEP_STATES = {FAILED: RunState.FAILING, SKIPPED: RunState.OFF}
_TESTS = (
    ("all", "Test all"),
    ("sentinelone", "SentinelOne"),
    ("jira", "Jira"),
    ("onelogin", "OneLogin"),
    ("destination", "Destination"),
)


@functools.cache
def style() -> str:
    """The page's style sheet."""
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")


@functools.cache
def content_security_policy() -> str:
    """Nothing may be loaded, run or framed; only this very style sheet holds."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )


def page(
    status: AppStatus,
    *,
    test: TestReport | None = None,
    redriven: RedriveReport | None = None,
    notice: str = "",
) -> str:
    """The whole document; what was just done stands first."""
    done = (
        (f'<p class="card" role="status">{text(notice)}</p>' if notice else "")
        + (_tested(test) if test else "")
        + (_redriven(redriven) if redriven else "")
    )
    connectors = "".join(connector_section(c, status.at) for c in status.connectors)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex"><meta name="referrer" content="no-referrer">'
        f"<title>{text(_HEADLINES[status.state])} - Sentinel connectors</title>"
        f"<style>{style()}</style></head><body>"
        f"<header><h1>Sentinel connectors: status</h1>{_headline(status)}</header>"
        f"<main>{done}{_problems(status)}{connectors}{_delivery(status)}{_actions(status)}</main>"
        f"<footer>As of {clock(status.at)}, version {text(status.version)}. Reload for what "
        "is new; add <code>format=json</code> to the address for the same as JSON.</footer>"
        "</body></html>"
    )


def _headline(status: AppStatus) -> str:
    on = [connector for connector in status.connectors if connector.on]
    streams = [s for c in on for s in c.streams if s.assessment.state != RunState.OFF]
    counted = [
        f"{count} {state}"
        for state in (RunState.FAILING, RunState.LATE, RunState.CATCHING_UP, RunState.OK)
        if (count := sum(s.assessment.state == state for s in streams))
    ]
    words = f"{len(on)} connectors on" if len(on) != 1 else "1 connector on"
    if streams:
        words += f", {len(streams)} streams: {', '.join(counted)}"
    return (
        f'<div class="card headline {colour(status.state)}">{mark(status.state)}<div>'
        f"<strong>{text(_HEADLINES[status.state])}</strong><p>{text(words)}.</p></div></div>"
    )


@dataclass(frozen=True, slots=True)
class _Problem:
    place: str
    stream: str
    words: str
    assessment: Assessment


def _problems(status: AppStatus) -> str:
    found = [_Problem("The app", "", "look", problem) for problem in status.problems]
    for connector in status.connectors:
        if connector.on and not connector.streams:
            found.append(_Problem(connector.name, "", "", connector.assessment))
        found.extend(
            _Problem(connector.name, short(connector.name, stream.name), "", stream.assessment)
            for stream in connector.streams
        )
    trouble = [
        problem
        for problem in found
        if problem.assessment.state in (RunState.FAILING, RunState.LATE)
    ]
    if not trouble:
        return ""
    trouble.sort(key=lambda problem: SEVERITY.index(problem.assessment.state))
    items = "".join(_item(same) for same in _grouped(trouble))
    return (
        '<section class="card" aria-labelledby="look"><h2 id="look">What needs a look</h2>'
        f'<ul class="problems">{items}</ul></section>'
    )


def _grouped(found: Sequence[_Problem]) -> Iterable[list[_Problem]]:
    """Streams with one cause are one problem: ten refused streams are one wrong token."""
    places: dict[tuple[str, str, str], list[_Problem]] = {}
    for problem in found:
        # Messages about one cause differ by the path that was asked for.
        cause = problem.assessment.reason.rpartition(": ")[2]
        places.setdefault((problem.place, problem.assessment.state, cause), []).append(problem)
    return places.values()


def _item(same: Sequence[_Problem]) -> str:
    first = same[0]
    streams = ", ".join(problem.stream for problem in same if problem.stream)
    where = f"{first.place}: {streams}" if streams not in ("", first.place) else first.place
    words = first.words if first.assessment.state == RunState.LATE else ""
    return (
        f'<li><span class="where">{text(where)}</span>{badge(first.assessment.state, words)}'
        f"{told(first.assessment)}</li>"
    )


def _delivery(status: AppStatus) -> str:
    dead = status.dead_letters
    letters = "unknown" if dead.blobs is None else f"{dead.records:,}{'+' if dead.more else ''}"
    numbers = (
        _number("Destination", status.destination, status.destination_address, "text")
        + _number("Spool", *_queue(status.spool, "waiting for Azure Monitor"))
        + _number("Poison messages", *_queue(status.poison, "given up after five tries"))
        + _number("Dead letters", letters, "records set aside" if dead.records else "none")
    )
    causes = "".join(
        f'<tr><th scope="row">{text(c.stream)}</th><td>{text(c.cause)}</td>'
        f'<td class="number">{c.records:,}</td></tr>'
        for c in dead.counts
    )
    table = (
        '<table><caption class="unseen">Dead letters by cause</caption><thead><tr>'
        '<th scope="col">Stream</th><th scope="col">Cause</th>'
        '<th scope="col" class="number">Dead letters</th></tr></thead>'
        f"<tbody>{causes}</tbody></table>"
    )
    return (
        '<section class="card" aria-labelledby="delivery"><h2 id="delivery">Delivery</h2>'
        f'<dl class="numbers">{numbers}</dl>{table if causes else ""}</section>'
    )


def _queue(queue: Queue, meaning: str) -> tuple[str, str]:
    if queue.messages is None:
        return "unknown", "storage does not answer"
    notes = [meaning] if queue.messages else []
    if queue.oldest_seconds is not None:
        notes.append(f"the oldest for {span(queue.oldest_seconds)}")
    elif queue.messages:
        notes.append("all of them until their next try")
    notes += [f"{count:,} {cause}" for cause, count in queue.causes if cause == "unreadable"]
    return f"{queue.messages:,}", ", ".join(notes) or "empty"


def _number(name: str, value: str, note: str, kind: str = "") -> str:
    return (
        f"<div><dt>{text(name)}</dt><dd{f' class={kind}' if kind else ''}>{text(value)}"
        f"<span>{text(note)}</span></dd></div>"
    )


def _actions(status: AppStatus) -> str:
    tests = "".join(
        f'<button name="test" value="{value}"{" class=first" if value == "all" else ""}>'
        f"{text(label)}</button>"
        for value, label in _TESTS
    )
    again = _again("dead-letters", "Send dead letters again", status.dead_letters.blobs)
    again += _again("poison", "Send poison messages again", status.poison.messages)
    # A form without an address posts to the page's own, function key and all.
    return (
        '<section class="card" aria-labelledby="test"><h2 id="test">Test connection</h2>'
        '<p class="muted">Settings, name, TLS, sign-in and every permission in use, within a '
        "minute. One marked row goes to ConnectorHealth_CL.</p>"
        f'<form method="post">{tests}</form></section>'
        '<section class="card" aria-labelledby="again"><h2 id="again">Send again</h2>'
        '<p class="muted">Once their cause is mended. What is refused again stays.</p>'
        f'<form method="post">{again}</form></section>'
    )


def _again(value: str, label: str, count: int | None) -> str:
    none = " disabled" if not count else ""
    return f'<button name="redrive" value="{value}"{none}>{text(label)}</button>'


def _tested(report: TestReport) -> str:
    failed = sum(step.result == FAILED for step in report.steps)
    outcome = "all passed" if report.passed else f"{failed} failed"
    rows = "".join(_step(step) for step in report.steps)
    state, word = (RunState.OK, "passed") if report.passed else (RunState.FAILING, "failed")
    return (
        '<section class="card" aria-labelledby="tested" role="status">'
        f'<div class="title"><h2 id="tested">Connection test: {text(report.tested)}</h2>'
        f"{badge(state, word)}</div>"
        f'<p class="facts">{len(report.steps)} steps, {outcome}, in {report.seconds:.1f} s</p>'
        '<table class="streams" role="table"><caption class="unseen">Steps</caption>'
        '<thead role="rowgroup"><tr role="row"><th scope="col">Step</th>'
        '<th scope="col">Result</th><th scope="col">What was found</th>'
        '<th scope="col" class="number">Seconds</th></tr></thead>'
        f'<tbody role="rowgroup">{rows}</tbody></table></section>'
    )


def _step(step: Step) -> str:
    state = _STEP_STATES.get(step.result, RunState.OK)
    advice = f'<p class="do"><b>What to do:</b> {text(step.advice)}</p>' if step.advice else ""
    result = f'<span class="state {colour(state)}">{mark(state)}{text(step.result)}</span>'
    return (
        f'<tr role="row"><th scope="row" role="rowheader">{text(step.part)}: {text(step.name)}</th>'
        f'<td role="cell">{result}</td><td role="cell">{text(step.detail)}{advice}</td>'
        f'<td role="cell" class="number" data-label="Seconds">{step.seconds:.2f}</td></tr>'
    )


def _redriven(report: RedriveReport) -> str:
    return (
        '<section class="card" aria-labelledby="redriven" role="status">'
        f'<h2 id="redriven">Sent again: {text(report.redriven)}</h2>'
        f"<p>{report.sent:,} sent, {report.left:,} left. {text(report.message)}</p></section>"
    )
