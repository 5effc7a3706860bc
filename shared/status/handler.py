"""Handle a request to the status page; independent of Azure Functions."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode

import orjson

from shared.delivery.redrive import DEAD_LETTERS, POISON, RedriveReport, redrive
from shared.diagnostics.connection_test import TestThrottled, choices, run_test
from shared.diagnostics.steps import TestReport
from shared.runtime.process import on_reset
from shared.status.collect import collect_status
from shared.status.page import Result, content_security_policy, page
from shared.telemetry.run import RunState

_HTML, _JSON = "text/html", "application/json"
_LONGEST_NAME = 100
_MOST_RESULTS = 20
_GONE = "The result is not kept any more, or by another instance: press the button again."
# Results of buttons by a name that only the browser that pressed one knows; the last ones.
_results: dict[str, Result] = {}
on_reset(_results.clear)


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
        asked |= _form(body)
    as_html = _wants_html(asked.get("format", ""), accept)
    shown = asked.get("connection", "")[:_LONGEST_NAME]
    if method != "POST":
        return _show(asked, as_html, shown)
    return _act(params, asked, as_html, shown)


def _show(asked: Mapping[str, str], as_html: bool, shown: str) -> PageResponse:
    if asked.get("probe") == "1":
        status = collect_status(connection=shown)
        return _json(503 if status.state == RunState.FAILING else 200, {"state": status.state})
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
        return _done(params, as_html, redriven=redrive(what))
    what = asked.get("test", "")
    if what not in choices():
        return _rejected(asked, as_html, f"test is one of {', '.join(choices())}")
    try:
        return _done(params, as_html, test=run_test(what, shown))
    except TestThrottled as error:
        wait = {"Retry-After": f"{error.seconds:.0f}"}
        return _rejected(asked, as_html, str(error), status=429, headers=wait)


def _form(body: bytes) -> dict[str, str]:
    fields = parse_qs(body[:1000].decode("utf-8", "replace"))
    return {name: values[0] for name, values in fields.items()}


def _wants_html(chosen: str, accept: str) -> bool:
    """Prefer ``format``; a browser accepts text/html, a program without Accept gets JSON."""
    return chosen == "html" or (chosen != "json" and _HTML in accept.lower())


def _done(
    params: Mapping[str, str],
    as_html: bool,
    *,
    test: TestReport | None = None,
    redriven: RedriveReport | None = None,
) -> PageResponse:
    """Give a program the result; send a browser to a page that shows it, and can be reloaded."""
    if not as_html:
        return _json(200, test or redriven)
    name = secrets.token_urlsafe(9)
    _results[name] = Result(test, redriven)
    while len(_results) > _MOST_RESULTS:
        _results.pop(next(iter(_results)))
    kept = {key: value for key, value in params.items() if key not in ("test", "redrive")}
    address = "?" + urlencode({**kept, "result": name})
    return PageResponse(303, b"", _HTML, _headers() | {"Location": address})


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
