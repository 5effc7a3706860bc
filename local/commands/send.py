"""`python3 -m tools send [FILE]`: post events to the local webhook as their vendor would.

Without a file a few made-up events of the last hour; - reads standard input.
"""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import requests

from local.commands.host_key import read_key
from local.commands.settings_file import SettingsFileInvalid, read_settings
from local.commands.start import PORT
from local.vendors.record_store import Record
from local.vendors.registry import vendors
from local.vendors.traffic import Period
from local.vendors.vendor import PostingAccount
from local.world import FOLDER
from shared.connections.opening import token_setting
from shared.connections.registry import received

TIMEOUT_SECONDS = 30
SAMPLES = 5
STANDARD_INPUT = "-"


def main(arguments: list[str]) -> int:
    """Post the file's bytes as they are; 0 if the webhook took them."""
    sources = {source.name: source for source in received()}
    parser = argparse.ArgumentParser(prog="python3 -m tools send", description=__doc__)
    content = "a JSON array, an object, or one event a line; - is standard input"
    parser.add_argument("file", nargs="?", default="", help=content)
    parser.add_argument("--connector", choices=list(sources), default=next(iter(sources), None))
    parser.add_argument("--url", help="by default that of the connector's webhook, as started")
    folder = "the folder of the app started here (.local)"
    parser.add_argument("--folder", type=Path, default=FOLDER, help=folder)
    parser.add_argument("--token", help="by default the one in local.settings.json")
    options = parser.parse_args(arguments)
    if options.connector is None:
        parser.error("no connector of this app receives posts")
    url = options.url or f"http://127.0.0.1:{PORT}/api/{options.connector}Webhook"
    key = "" if options.url else read_key(options.folder)
    token_name = token_setting(sources[options.connector])
    try:
        token = options.token or read_settings().get(token_name, "")
        body = _body(options.file, options.connector)
    except (SettingsFileInvalid, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if body is None:
        print(f"There is no file {options.file}.", file=sys.stderr)
        return 1
    if not token:
        print(f"{token_name} is not set in local.settings.json: set it, or give --token.")
        return 1
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    if key:
        headers["x-functions-key"] = key
    if body[:2] == b"\x1f\x8b":
        headers["Content-Encoding"] = "gzip"
    try:
        response = requests.post(url, data=body, headers=headers, timeout=TIMEOUT_SECONDS)
    except requests.ConnectionError:
        print(f"Nothing listens at {url}: python3 -m tools start", file=sys.stderr)
        return 1
    except requests.RequestException as error:
        print(f"{url} did not answer: {error}", file=sys.stderr)
        return 1
    print(f"{response.status_code} {response.text.strip()}".rstrip())
    if response.status_code == requests.codes.unauthorized:
        print(
            f"The token is not that of {token_name} as the app was started with it, or the address "
            "lacks its ?code=, as the app printed it."
        )
    return 0 if response.status_code == requests.codes.ok else 1


def _body(file: str, connector: str) -> bytes | None:
    """The bytes to post; None where the file is missing."""
    if file == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    if file:
        return Path(file).read_bytes() if Path(file).is_file() else None
    events = sample_events(connector)
    print(f"No file is named: posting {len(events)} made-up events of the last hour.")
    return json.dumps(events).encode()


def sample_events(connector: str) -> list[Record]:
    """Made-up events of the last hour, each time others. Raises ``OSError`` without any."""
    now = datetime.now(UTC)
    for vendor in vendors():
        if vendor.name != connector:
            continue
        with vendor.serve(0) as account:
            if not isinstance(account, PostingAccount):
                continue
            account.fill(Period(now - timedelta(hours=1), now))
            events = list(account.pending())[-SAMPLES:]
            return [
                {**each, "uuid": str(uuid.uuid4())} if "uuid" in each else each for each in events
            ]
    raise FileNotFoundError(f"There are no made-up events of {connector}: name a file.")
