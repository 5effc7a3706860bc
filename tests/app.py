"""The app with its vendors, its webhook and its status page, as a person finds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import azure.functions as func
import orjson
import pytest
from aiohttp import web

import shared.azure.storage
import Status
from local.azure.logs_ingestion import AzureMonitor
from local.loopback.server import LocalServer
from local.vendors import sentinelone_records
from local.vendors.jira import Jira
from local.vendors.jira_records import jira_record
from local.vendors.sentinelone import SentinelOne
from shared.connectors import jira as jira_connector
from shared.connectors import onelogin as onelogin_connector
from shared.connectors import sentinelone as sentinelone_connector
from shared.health.webhook import WebhookHealth
from shared.polling.run import poll
from shared.records.timestamps import utc_now
from shared.state.checkpoint import TABLE
from shared.telemetry.history import history_after
from shared.telemetry.run import RunResult
from shared.webhook.receiver import Webhook, WebhookResponse

TOKEN = "local-onelogin-token"


@dataclass(slots=True)
class App:
    """The function app, and the world around it."""

    monitor: AzureMonitor
    sentinelone: SentinelOne
    jira: Jira
    settings: pytest.MonkeyPatch
    health: WebhookHealth = field(
        default_factory=lambda: WebhookHealth(
            onelogin_connector.CONNECTOR.name, onelogin_connector.EVENTS.name
        )
    )
    _webhook: Webhook | None = None

    def fill(self, count: int, hours: float = 20) -> None:
        """So many events at each vendor, spread over the hours before now, and its inventory."""
        now = utc_now()
        moments = [now - timedelta(hours=hours) * (count - n) / count for n in range(count)]
        few = list(enumerate(moments))[:: max(count // 40, 1)]
        vendor = self.sentinelone
        vendor.add(
            "activities", [sentinelone_records.activity(n, at) for n, at in enumerate(moments)]
        )
        for stream, make in (
            ("threats", sentinelone_records.threat),
            ("alerts", sentinelone_records.alert),
            ("unifiedalerts", sentinelone_records.unified_alert),
            ("devicecontrol", sentinelone_records.device_event),
            ("applications", sentinelone_records.application),
            ("agents", sentinelone_records.agent),
        ):
            vendor.add(stream, [make(n, at) for n, at in few])
        vendor.add("groups", [sentinelone_records.group(n, now) for n in range(4)])
        vendor.add("sites", [sentinelone_records.site(n) for n in range(2)], at=now)
        self.jira.add([jira_record(n, at) for n, at in few])

    def poll_sentinelone(self) -> list[RunResult]:
        """One tick of its timer."""
        return poll(sentinelone_connector.CONNECTOR)

    def poll_jira(self) -> list[RunResult]:
        """One tick of its timer."""
        return poll(jira_connector.CONNECTOR)

    def post_events(self, events: list[dict[str, Any]], token: str = TOKEN) -> WebhookResponse:
        """OneLogin posts a batch; its history is written at once, not in a minute."""
        return self.post_body(orjson.dumps(events), token)

    def post_body(self, body: bytes, token: str = TOKEN) -> WebhookResponse:
        """OneLogin posts a body; its history is written at once."""
        if self._webhook is None:
            self._webhook = Webhook(onelogin_connector.CONNECTOR, report=self.health.report)
        headers = {"authorization": f"Bearer {token}"}
        answer = self._webhook.answer(headers, body)
        self.health.history.flush()
        return answer

    def status(self) -> dict[str, Any]:
        """The status as JSON, through the function itself."""
        value: dict[str, Any] = orjson.loads(ask("GET").get_body())
        return value

    def stream(self, name: str) -> dict[str, Any]:
        """One stream of ``status``, by its name without ``Custom-``."""
        streams = [s for c in self.status()["connectors"] for s in c["streams"]]
        found: dict[str, Any] = next(s for s in streams if s["name"] == f"Custom-{name}")
        return found


@pytest.fixture
def app(
    settings_env: dict[str, str],
    azure_monitor: AzureMonitor,
    sentinelone: SentinelOne,
    jira: Jira,
    monkeypatch: pytest.MonkeyPatch,
) -> App:
    """Every connector on, over empty vendors and an empty storage account."""
    return App(azure_monitor, sentinelone, jira, monkeypatch)


def ask(
    method: str,
    params: Mapping[str, str] | None = None,
    *,
    accept: str = "*/*",
    body: bytes = b"",
) -> func.HttpResponse:
    """One request to the function ``Status``."""
    return Status.main(
        func.HttpRequest(
            method,
            "http://127.0.0.1/api/Status",
            headers={"accept": accept},
            params=params or {},
            body=body,
        )
    )


@pytest.fixture
def served() -> Iterator[str]:
    """The function behind real HTTP; gives the page's address."""
    with LocalServer([web.get("/api/Status", _serve), web.post("/api/Status", _serve)]) as server:
        yield f"{server.url}/api/Status?code=the-functions-key"


async def _serve(request: web.Request) -> web.Response:
    import asyncio

    body = await request.read()
    params = {
        name: values[0] for name, values in parse_qs(urlsplit(str(request.url)).query).items()
    }
    params.pop("code", None)
    given = await asyncio.get_running_loop().run_in_executor(
        None,
        lambda: ask(request.method, params, accept=request.headers.get("Accept", ""), body=body),
    )
    return web.Response(
        status=given.status_code,
        body=given.get_body(),
        headers={**dict(given.headers), "Content-Type": f"{given.mimetype}; charset=utf-8"},
    )


def replay_a_day(records_an_hour: Callable[[int], int]) -> None:
    """Put a day of earlier runs into the history of every stream that has a row."""
    table = shared.azure.storage.table(TABLE)
    for row in list(table.list_entities()):
        if "~" in row["RowKey"] or '"lastSuccess"' not in row.get("history", ""):
            continue
        history = ""
        for hour in range(23, 0, -1):
            records = records_an_hour(hour) * (1 + len(row["RowKey"]) % 7)
            run = RunResult(
                connector="",
                stream=row["RowKey"],
                run_id="",
                started=utc_now() - timedelta(hours=hour),
                records=records,
                bytes_read=records * 900,
                bytes_sent=records * (90 + hour * 7 % 40),
                repeats=records // 50,
            )
            history = history_after(history, run)
        today = orjson.loads(row["history"])
        earlier = orjson.loads(history)
        for counts in ("hours", "bytesRead"):
            today[counts] = earlier[counts] | today.get(counts, {})
        row["history"] = orjson.dumps(today).decode()
        table.update_entity(row)
