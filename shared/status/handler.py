"""Handle a request to the status page; independent of Azure Functions."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode

import orjson

from shared.delivery.redrive import DEAD_LETTERS, POISON, RedriveReport, redrive
from shared.diagnostics.connection_test import TestThrottled, choices, run_test
from shared.diagnostics.steps import TestReport
from shared.errors import SettingsError, StorageError
from shared.runtime.process import on_reset
from shared.status.collect import collect_status
from shared.status.dead_letters import handle_letters, read_letters
from shared.status.operate import ACTIONS, CannotOperate, Done, operate
from shared.status.page import Result, content_security_policy, page
from shared.telemetry.run import RunState

_HTML, _JSON = "text/html", "application/json"
_LETTERS = "dead-letters"
_BUTTONS = ("test", "redrive", _LETTERS, *ACTIONS)
# What an address says of every page.
_EVERYWHERE = ("code", "format")
_LONGEST_NAME = 100
_LONGEST_FORM = 4_000
_MOST_RESULTS = 20
_GONE = "The result is not kept any more, or by another instance: press the button again."
# Results of buttons by a name that only the browser that pressed one knows; the last ones.
_results: dict[str, Result] = {}
on_reset(_results.clear)
_results_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class PageResponse:
    """Response to a request of the status page."""

    status: int
    body: bytes
    mimetype: str
    headers: Mapping[str, str] = field(default_factory=dict)


def answer(method: str, params: Mapping[str, str], accept: str, body: bytes) -> PageResponse:
    """Answer GET and POST /api/Status; ``params`` are those of the query string.

    A form sends a button's value in the body; a program may send it in the query string.
    """
    asked = dict(params)
    if method == "POST":
        form = _form(body)
        if not form.keys().isdisjoint(_BUTTONS) and _LETTERS in params:
            # A button on the page of dead letters: what that page shows is not its business.
            asked = {name: params[name] for name in _EVERYWHERE if name in params}
        asked |= form
    as_html = _wants_html(asked.get("format", ""), accept)
    shown = asked.get("connection", "")[:_LONGEST_NAME]
    if method != "POST":
        return _show(asked, as_html, shown)
    return _act(params, asked, as_html, shown)


def _show(asked: Mapping[str, str], as_html: bool, shown: str) -> PageResponse:
    if asked.get("probe") == "1":
        # A probe waits for no vendor: a token that has ended shows by the polls that fail.
        status = collect_status(connection=shown, ask_vendors=False)
        return _json(503 if status.state == RunState.FAILING else 200, {"state": status.state})
    if what := asked.get(_LETTERS):
        try:
            letters = read_letters(what, asked)
        except (CannotOperate, StorageError, SettingsError) as error:
            return _refused(asked, as_html, error)
        if not as_html:
            return _json(200, letters)
        return _page(200, Result(letters=letters), asked, "")
    if not as_html:
        return _json(200, collect_status(connection=shown))
    result = _results.get(asked.get("result", ""), Result())
    if asked.get("result") and result == Result():
        result = Result(notice=_GONE)
    return _page(200, result, asked, shown)


def _act(
    params: Mapping[str, str], asked: Mapping[str, str], as_html: bool, shown: str
) -> PageResponse:
    if what := asked.get("redrive"):
        if what not in (DEAD_LETTERS, POISON):
            return _rejected(asked, as_html, f"redrive is one of {DEAD_LETTERS}, {POISON}")
        return _done(params, as_html, redrive(what))
    for action in (_LETTERS, *ACTIONS):
        if action in asked:
            return _operate(params, asked, as_html, action)
    what = asked.get("test", "")
    if what not in choices():
        others = ", ".join(name for name in _BUTTONS if name != "test")
        told = f"test is one of {', '.join(choices())}"
        return _rejected(
            asked, as_html, told if "test" in asked else f"Say one of test, {others}; {told}"
        )
    try:
        return _done(params, as_html, run_test(what, shown))
    except TestThrottled as error:
        wait = {"Retry-After": f"{error.seconds:.0f}"}
        return _rejected(asked, as_html, str(error), status=429, headers=wait)


def _operate(
    params: Mapping[str, str], asked: Mapping[str, str], as_html: bool, action: str
) -> PageResponse:
    try:
        if action == _LETTERS:
            return _done(params, as_html, handle_letters(asked[action], asked))
        return _done(params, as_html, operate(action, asked))
    except (CannotOperate, StorageError, SettingsError) as error:
        return _refused(asked, as_html, error)


def _refused(asked: Mapping[str, str], as_html: bool, error: Exception) -> PageResponse:
    """Answer an action that changed nothing: 400 or 409, or 503 where storage failed."""
    status = error.status if isinstance(error, CannotOperate) else 503
    return _rejected(asked, as_html, str(error), status=status)


def _form(body: bytes) -> dict[str, str]:
    # A field that is empty is one: it names the connection without a name.
    fields = parse_qs(body[:_LONGEST_FORM].decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def _wants_html(chosen: str, accept: str) -> bool:
    """Prefer ``format``; a browser accepts text/html, a program without Accept gets JSON."""
    return chosen == "html" or (chosen != "json" and _HTML in accept.lower())


def _done(
    params: Mapping[str, str], as_html: bool, outcome: TestReport | RedriveReport | Done
) -> PageResponse:
    """Give a program the result; send a browser to a page that shows it, and can be reloaded."""
    if not as_html:
        ended = isinstance(outcome, RedriveReport) and outcome.error
        return _json(503 if ended else 200, outcome)
    name = secrets.token_urlsafe(9)
    with _results_lock:
        _results[name] = _shown(outcome)
        while len(_results) > _MOST_RESULTS:
            _results.pop(next(iter(_results)))
    names = _EVERYWHERE if _LETTERS in params else (*_EVERYWHERE, "connection")
    kept = {name: params[name] for name in names if name in params}
    address = "?" + urlencode({**kept, "result": name})
    return PageResponse(303, b"", _HTML, _headers() | {"Location": address})


def _shown(outcome: TestReport | RedriveReport | Done) -> Result:
    if isinstance(outcome, TestReport):
        return Result(test=outcome)
    if isinstance(outcome, RedriveReport):
        return Result(redriven=outcome)
    return Result(notice=outcome.message)


def _rejected(
    asked: Mapping[str, str],
    as_html: bool,
    message: str,
    *,
    status: int = 400,
    headers: Mapping[str, str] | None = None,
) -> PageResponse:
    if as_html:
        return _page(status, Result(notice=message), asked, "", headers)
    return _json(status, {"error": message}, headers)


def _page(
    status: int,
    result: Result,
    asked: Mapping[str, str],
    shown: str,
    headers: Mapping[str, str] | None = None,
) -> PageResponse:
    document = page(collect_status(connection=shown), result, key=asked.get("code", ""))
    policy = {"Content-Security-Policy": content_security_policy()}
    return PageResponse(status, document.encode(), _HTML, _headers() | policy | dict(headers or {}))


def _json(status: int, value: object, headers: Mapping[str, str] | None = None) -> PageResponse:
    body = orjson.dumps(value, option=orjson.OPT_UTC_Z | orjson.OPT_INDENT_2)
    return PageResponse(status, body, _JSON, _headers() | dict(headers or {}))


def _headers() -> dict[str, str]:
    # The address contains the function's key: keep it out of caches and Referer headers.
    return {
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
