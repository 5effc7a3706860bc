"""One request to the status page, from its parameters to its answer; knows no Azure Functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import orjson

from shared.delivery.redrive import DEAD_LETTERS, POISON, RedriveReport, redrive
from shared.diagnostics.connection_test import TooOften, choices, run_test
from shared.diagnostics.steps import TestReport
from shared.status.collect import collect_status
from shared.status.page import content_security_policy, page

_HTML, _JSON = "text/html", "application/json"


@dataclass(frozen=True, slots=True)
class PageResponse:
    """What goes back."""

    status: int
    body: bytes
    mimetype: str
    headers: Mapping[str, str] = field(default_factory=dict)


def answer(method: str, params: Mapping[str, str], accept: str, body: bytes) -> PageResponse:
    """Answer GET and POST /api/Status; ``params`` are those of the address.

    A button's value comes in the body, as a form sends it; a program may say it in the address.
    """
    asked = dict(params)
    if method == "POST":
        asked |= _form(body)
    as_html = _wants_html(asked.get("format", ""), accept)
    if method != "POST":
        return _answer(as_html)
    if what := asked.get("redrive"):
        if what not in (DEAD_LETTERS, POISON):
            return _bad(as_html, f"redrive is one of {DEAD_LETTERS}, {POISON}")
        return _answer(as_html, redriven=redrive(what))
    what = asked.get("test", "")
    if what not in choices():
        return _bad(as_html, f"test is one of {', '.join(choices())}")
    try:
        return _answer(as_html, test=run_test(what))
    except TooOften as error:
        wait = {"Retry-After": f"{error.seconds:.0f}"}
        return _bad(as_html, str(error), status=429, headers=wait)


def _form(body: bytes) -> dict[str, str]:
    fields = parse_qs(body[:1000].decode("utf-8", "replace"))
    return {name: values[0] for name, values in fields.items()}


def _wants_html(chosen: str, accept: str) -> bool:
    """A browser names text/html; a program that names nothing gets JSON."""
    return chosen == "html" or (chosen != "json" and _HTML in accept.lower())


def _answer(
    as_html: bool, *, test: TestReport | None = None, redriven: RedriveReport | None = None
) -> PageResponse:
    if as_html:
        return _page(200, test=test, redriven=redriven)
    return _json(200, test or redriven or collect_status())


def _bad(
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
    # The address holds the function's key: it is nobody's to keep or to pass on.
    return {
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
