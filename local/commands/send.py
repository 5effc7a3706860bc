"""`python3 -m tools send FILE`: post a file to the local webhook as its vendor would."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import requests

from local.commands.settings_file import SettingsFileInvalid, read_settings
from local.commands.start import PORT
from shared.connections.opening import token_setting
from shared.connections.registry import received

TIMEOUT_SECONDS = 30


def main(arguments: list[str]) -> int:
    """Post the file's bytes as they are; 0 if the webhook took them."""
    sources = {source.name: source for source in received()}
    parser = argparse.ArgumentParser(prog="python3 -m tools send", description=__doc__)
    parser.add_argument("file", type=Path, help="a JSON array, an object, or one event a line")
    parser.add_argument("--connector", choices=list(sources), default=next(iter(sources), None))
    parser.add_argument("--url", help="by default that of the connector's webhook, as started")
    parser.add_argument("--token", help="by default the one in local.settings.json")
    options = parser.parse_args(arguments)
    if options.connector is None:
        parser.error("no connector of this app receives posts")
    url = options.url or f"http://127.0.0.1:{PORT}/api/{options.connector}Webhook"
    token_name = token_setting(sources[options.connector])
    if options.file == Path():  # `make send` without FILE
        parser.error("name a file: make send FILE=events.json")
    if not options.file.is_file():
        print(f"There is no file {options.file}.", file=sys.stderr)
        return 1
    try:
        token = options.token or read_settings().get(token_name, "")
        body = options.file.read_bytes()
    except (SettingsFileInvalid, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if not token:
        print(f"{token_name} is not set in local.settings.json: set it, or give --token.")
        return 1
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
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
    return 0 if response.status_code == requests.codes.ok else 1
