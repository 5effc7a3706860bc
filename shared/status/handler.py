"""Handle a request to the status page; independent of Azure Functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import orjson

from shared.delivery.redrive import DEAD_LETTERS, POISON, RedriveReport, redrive
from shared.diagnostics.connection_test import TestThrottled, choices, run_test
from shared.diagnostics.steps import TestReport
from shared.status.collect import collect_status
from shared.status.page import content_security_policy, page

_HTML, _JSON = "text/html", "application/json"


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
    if method != "POST":
        return _answer(as_html)
    if what := asked.get("redrive"):
        if what not in (DEAD_LETTERS, POISON):
            return _rejected(as_html, f"redrive is one of {DEAD_LETTERS}, {POISON}")
        return _answer(as_html, redriven=redrive(what))
    what = asked.get("test", "")
    if what not in choices():
        return _rejected(as_html, f"test is one of {', '.join(choices())}")
    try:
        return _answer(as_html, test=run_test(what))
    except TestThrottled as error:
        wait = {"Retry-After": f"{error.seconds:.0f}"}
        return _rejected(as_html, str(error), status=429, headers=wait)


def _form(body: bytes) -> dict[str, str]:
    fields = parse_qs(body[:1000].decode("utf-8", "replace"))
    return {name: values[0] for name, values in fields.items()}


def _wants_html(chosen: str, accept: str) -> bool:
    """Prefer ``format``; a browser accepts text/html, a program without Accept gets JSON."""
    return chosen == "html" or (chosen != "json" and _HTML in accept.lower())


def _answer(
    as_html: bool, *, test: TestReport | None = None, redriven: RedriveReport | None = None
) -> PageResponse:
    if as_html:
        return _page(200, test=test, redriven=redriven)
    return _json(200, test or redriven or collect_status())


def _rejected(
    as_html: bool, message: str, *, status: int = 400, headers: Mapping[str, str] | None = None
) -> PageResponse:
    if as_html:
        return _page(status, notice=message, headers=headers)
    return _json(status, {"error": message}, headers)


def _page(
    status: int,
    *,
    test: TestReport | None = None,
    redriven: RedriveReport | None = None,
    notice: str = "",
    headers: Mapping[str, str] | None = None,
) -> PageResponse:
    document = page(collect_status(), test=test, redriven=redriven, notice=notice)
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
