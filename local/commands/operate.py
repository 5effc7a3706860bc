"""Day-two commands: reset-stream, replay, fetch, pause, resume, dead-letters, of a running app.

They ask the status page's API with its key: by default of the app that `start` runs here; with
--url and --key of the one in Azure. --url may be the page's address as it is, ?code= and all.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from local.commands.host_key import read_key
from local.commands.start import PORT
from local.world import FOLDER

# A redrive works for most of a minute.
TIMEOUT_SECONDS = 120
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PAGE = f"http://127.0.0.1:{PORT}/api/Status"


class NoAnswer(Exception):
    """The app cannot be asked; the message is one sentence for the person."""


def reset_stream(arguments: list[str]) -> int:
    """Have a stream begin anew."""
    parser = _parser("reset-stream", "have a stream begin anew, InitialLookbackHours back")
    _add_stream(parser)
    parser.add_argument("--skip", action="store_true", help="also where events would be skipped")
    options = parser.parse_args(arguments)
    asked = {"reset": options.connector, "stream": options.stream, **_connection(options)}
    return _post(options, {**asked, "skip": "1"} if options.skip else asked)


def replay(arguments: list[str]) -> int:
    """Have a stream read and send again what came since a time."""
    parser = _parser("replay", "read and send a stream again from a time on")
    _add_stream(parser)
    since = "2026-01-31T08:00Z (UTC), or how long ago: 90m, 6h, 3d"
    parser.add_argument("--since", required=True, help=since)
    options = parser.parse_args(arguments)
    asked = {"replay": options.connector, "stream": options.stream, "since": options.since}
    return _post(options, {**asked, **_connection(options)})


def fetch(arguments: list[str]) -> int:
    """Have an hour of a vendor's API read into the table, beside what it posted."""
    parser = _parser("fetch", "read an hour that posts did not bring whole from the vendor's API")
    _add_connector(parser)
    parser.add_argument("--hour", required=True, help="its beginning in UTC: 2026-01-31T08:00Z")
    options = parser.parse_args(arguments)
    asked = {"fetch": options.connector, "hour": options.hour, **_connection(options)}
    return _post(options, asked)


def pause(arguments: list[str]) -> int:
    """Begin no poll of a connection until it is resumed."""
    return _of_connection("pause", "begin no poll of a connection until it is resumed", arguments)


def resume(arguments: list[str]) -> int:
    """Poll a paused connection again."""
    return _of_connection("resume", "poll a paused connection again", arguments)


def dead_letters(arguments: list[str]) -> int:
    """List, show, acknowledge, discard or send dead letters."""
    parser = _parser("dead-letters", "what Azure Monitor refused for good, and why")
    actions = ("list", "show", "acknowledge", "discard", "send")
    what = "list (default) by cause; show samples, without values; the others change something"
    parser.add_argument("what", nargs="?", default="list", choices=actions, help=what)
    for name in ("stream", "cause", "connection"):
        parser.add_argument(f"--{name}", help=f"those of this {name} alone")
    parser.add_argument("--blob", help="with --line: one dead letter, as show names it")
    parser.add_argument("--line")
    options = parser.parse_args(arguments)
    names = ("stream", "cause", "connection", "blob", "line")
    chosen = {name: text for name in names if (text := getattr(options, name)) is not None}
    asked = {"dead-letters": options.what, **chosen}
    if options.what not in ("list", "show"):
        return _post(options, asked)
    return _asked(lambda: print(as_text(_ask("GET", options, asked))))


def as_text(letters: Mapping[str, Any]) -> str:
    """The dead letters by cause, and the samples, as lines of text."""
    lines: list[str] = []
    for group in letters["groups"]:
        whose = f" of connection {group['connection']}" if group["connection"] else ""
        seen = "looked at" if group["acknowledged"] else "new"
        lines.append(
            f"{group['records']:>8,}  {group['stream']}{whose}: {group['cause']} ({seen}; "
            f"{group['oldest'][:16]} to {group['newest'][:16]} UTC)"
        )
    for line in letters["lines"]:
        lines += ["", f"--blob {line['blob']} --line {line['line']}", f"    {line['cause']}"]
        if line["never"]:
            lines.append(f"    It can never be sent: {line['never']}.")
        text = json.dumps(line["record"], indent=2, ensure_ascii=False)
        lines += [f"    {part}" for part in text.splitlines()]
    return "\n".join(lines) or "There are no dead letters."


def _of_connection(action: str, meaning: str, arguments: list[str]) -> int:
    parser = _parser(action, meaning)
    _add_connector(parser)
    options = parser.parse_args(arguments)
    return _post(options, {action: options.connector, **_connection(options)})


def _parser(command: str, meaning: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python3 -m tools {command}", description=meaning)
    parser.add_argument("--url", default=PAGE, help=f"the status page's address ({PAGE})")
    parser.add_argument("--key", help="its function key; by default that of the app started here")
    folder = "the folder of the app started here (.local)"
    parser.add_argument("--folder", type=Path, default=FOLDER, help=folder)
    return parser


def _add_connector(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("connector", help="as the status page names it")
    parser.add_argument("--connection", help="its name; by default the one without a name")


def _add_stream(parser: argparse.ArgumentParser) -> None:
    _add_connector(parser)
    parser.add_argument("stream", help="as the setting that chooses streams names it, or in full")


def _connection(options: argparse.Namespace) -> dict[str, str]:
    return {"connection": options.connection} if options.connection else {}


def _post(options: argparse.Namespace, asked: Mapping[str, str]) -> int:
    return _asked(lambda: print(_told(_ask("POST", options, asked))))


def _asked(ask: Any) -> int:
    try:
        ask()
    except NoAnswer as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _told(answer: Mapping[str, Any]) -> str:
    if "redriven" in answer:
        return f"{answer['sent']:,} sent, {answer['left']:,} left. {answer['message']}".rstrip()
    return str(answer["message"])


def _ask(method: str, options: argparse.Namespace, asked: Mapping[str, str]) -> dict[str, Any]:
    """The app's JSON. Raises NoAnswer, with the app's own words where it refuses."""
    parts = urlsplit(options.url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise NoAnswer("--url is https, so that nobody on the way reads the key")
    address = f"{parts.scheme}://{parts.netloc}{parts.path}"
    codes: Sequence[str] = parse_qs(parts.query).get("code", [])
    key = options.key or next(iter(codes), "")
    if not key and parts.hostname in LOOPBACK:
        key = read_key(options.folder)
    params = {**asked, "format": "json"}
    try:
        response = requests.request(
            method,
            address,
            params=params,
            headers={"x-functions-key": key},
            timeout=TIMEOUT_SECONDS,
            # A redirect would take the key along, to any host.
            allow_redirects=False,
        )
    except requests.ConnectionError as error:
        here = ": python3 -m tools start" if parts.hostname in LOOPBACK else ""
        raise NoAnswer(f"Nothing answers at {address}{here}") from error
    except requests.RequestException as error:
        raise NoAnswer(f"{address} did not answer: {type(error).__name__}") from error
    if response.status_code in (requests.codes.unauthorized, requests.codes.forbidden):
        raise NoAnswer("The key is not that of the function Status: give it with --key")
    try:
        found: dict[str, Any] = response.json()
    except ValueError as error:
        raise NoAnswer(f"{address} answered HTTP {response.status_code}, no JSON") from error
    if response.status_code != requests.codes.ok:
        if "redriven" in found:
            raise NoAnswer(_told(found))
        raise NoAnswer(str(found.get("error", f"HTTP {response.status_code}")))
    return found
