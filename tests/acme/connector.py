"""Acme's events: a made-up vendor, put into a copy of the project by tests/test_acme.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from shared.records.raw import Record, records_of
from shared.settings import checks
from shared.settings.setting import setting
from shared.source.advice import Advice
from shared.source.client import ApiClient
from shared.source.connector import Connection, Connector, Portal
from shared.source.stream import Page, Stream, Window

EVENTS = Stream(
    name="Custom-Acme",
    setting_name="acme",
    watermark="at",
    event_time="at",
    keys=(("id",),),
    redact=("pin",),
)


def acme_url(value: str) -> str:
    """Acme's address."""
    return checks.https_url(value, "https://acme.example")


@dataclass(frozen=True, slots=True)
class AcmeSettings:
    """Where Acme is, and its token."""

    url: str = setting(
        "AcmeUrl",
        "The address of Acme.",
        required=True,
        example="https://acme.example",
        check=acme_url,
        label="Acme's address",
        tooltip="The address at which you open Acme.",
        pattern="^https://",
        mismatch="An address like https://acme.example",
    )
    token: str = setting(
        "AcmeToken",
        "Acme's `read` token.",
        required=True,
        secret=True,
        label="API token",
        tooltip="Made under Profile, Tokens.",
    )


class _Answer(msgspec.Struct):
    events: list[Record]


class AcmeEvents:
    """Events between two times, oldest first, in one page."""

    stream = EVENTS
    parallelism = 1

    def __init__(self, client: ApiClient, url: str) -> None:
        self._client = client
        self._url = url

    def pages(self, window: Window | None) -> Iterator[Page]:
        """Yield the window's page."""
        if window is None:
            raise ValueError("Acme's events are read by windows")
        times = {"from": window.start.isoformat(), "to": window.end.isoformat()}
        response = self._client.get(f"{self._url}/events", times, _Answer)
        records = records_of(response.require("events"))
        if records is None:
            raise response.invalid("with events that are no objects")
        yield Page(records, response.size, len(records), response.vendor_time, last=True)


def connect(settings: AcmeSettings, advice: Advice) -> Connection:
    """Acme as ``settings`` name it."""
    headers = {"Authorization": f"Bearer {settings.token}"}
    client = ApiClient(advice, settings.url, headers)
    return Connection(settings.url, client, [AcmeEvents(client, settings.url)])


CONNECTOR = Connector(
    name="Acme",
    settings=AcmeSettings,
    streams=(EVENTS,),
    portal=Portal("Collect Acme's events", "Polls Acme every five minutes, for a test."),
    advice={401: "{token} is wrong", None: "see whether {url} is Acme's address"},
    connect=connect,
)
