"""`python3 -m tools send FILE`: posts a file to the local webhook as OneLogin would."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import requests

from local.commands.settings_file import SettingsFileInvalid, read_settings
from local.commands.start import PORT

SECONDS = 30


def main(arguments: list[str]) -> int:
    """Posts the file's bytes as they are; 0 if the webhook took them."""
    parser = argparse.ArgumentParser(prog="python3 -m tools send", description=__doc__)
    parser.add_argument("file", type=Path, help="a JSON array, an object, or one event a line")
    parser.add_argument("--url", default=f"http://127.0.0.1:{PORT}/api/OneLoginWebhook")
    parser.add_argument("--token", help="by default OneLoginBearerToken of local.settings.json")
    options = parser.parse_args(arguments)
    if options.file == Path():  # what `make send` without FILE gives
        parser.error("name a file: make send FILE=events.json")
    if not options.file.is_file():
        print(f"There is no file {options.file}.", file=sys.stderr)
        return 1
    try:
        token = options.token or read_settings().get("OneLoginBearerToken", "")
        body = options.file.read_bytes()
    except (SettingsFileInvalid, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if not token:
        print("OneLoginBearerToken is not set in local.settings.json: set it, or give --token.")
        return 1
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    if body[:2] == b"\x1f\x8b":
        headers["Content-Encoding"] = "gzip"
    try:
        answer = requests.post(options.url, data=body, headers=headers, timeout=SECONDS)
    except requests.ConnectionError:
        print(f"Nothing listens at {options.url}: python3 -m tools start", file=sys.stderr)
        return 1
    except requests.RequestException as error:
        print(f"{options.url} did not answer: {error}", file=sys.stderr)
        return 1
    print(f"{answer.status_code} {answer.text.strip()}".rstrip())
    return 0 if answer.status_code == requests.codes.ok else 1
