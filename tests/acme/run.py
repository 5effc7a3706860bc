"""Run the app in the copy against an Acme on loopback; print what was seen, as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import azure.functions as func
from aiohttp import web

import Status
from local.commands import start
from local.host.host import Host
from local.loopback.server import LocalServer
from local.world import destination, environment, storage
from shared.diagnostics.connection_test import choices

TOKEN = "acme-read-token"
COUNT = 5


class Acme:
    """Events of the last minutes; each holds a PIN, which must not arrive."""

    def __init__(self) -> None:
        now = datetime.now(UTC)
        times = [now - timedelta(minutes=60 - n) for n in range(COUNT)]
        self.events = [
            {"id": f"e{n}", "at": time.isoformat(), "what": f"act {n}", "pin": "4711", "room": n}
            for n, time in enumerate(times)
        ]

    async def answer(self, request: web.Request) -> web.Response:
        """The events of the window that is asked for, to whom shows the token."""
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"error": "unauthorized"}, status=401)
        first, last = (datetime.fromisoformat(request.query[name]) for name in ("from", "to"))
        shown = [e for e in self.events if first <= datetime.fromisoformat(str(e["at"])) < last]
        return web.json_response({"events": shown})


def status(method: str, params: Mapping[str, str], accept: str) -> str:
    """What the function Status answers."""
    request = func.HttpRequest(
        method, "http://127.0.0.1/api/Status", headers={"accept": accept}, params=params, body=b""
    )
    return Status.main(request).get_body().decode()


def main(folder: Path) -> dict[str, Any]:
    """Poll twice, with the status and its connection test after it."""
    seen: dict[str, Any] = {"choices": dict(choices())}
    with environment({"AcmeUrl": "https://acme.example"}):
        seen["problems"] = start.problems()
    acme = Acme()
    with (
        LocalServer([web.get("/events", acme.answer)]) as vendor,
        storage(None) as connection,
        destination(folder / "workspace.duckdb") as there,
    ):
        settings = {
            **there.settings,
            "AzureWebJobsStorage": connection,
            "AcmeUrl": vendor.url,
            "AcmeToken": TOKEN,
        }
        with environment(settings), Host() as host:
            seen["succeeded"] = [host.tick("AcmeTimer").error is None for _ in range(2)]
            there.monitor.settle()
            seen["sent"] = there.monitor.records("Custom-Acme")
            query = "Acme_CL | project id_s, what_s | order by id_s asc"
            seen["rows"] = [list(row) for row in there.workspace.query(query).rows]
            seen["status"] = json.loads(status("GET", {}, "application/json"))
            seen["page"] = status("GET", {}, "text/html")
            seen["test"] = json.loads(status("POST", {"test": "acme"}, "application/json"))
        with environment({**settings, "AcmeToken": "a-wrong-token"}), Host() as host:
            seen["refused"] = str(host.tick("AcmeTimer").error)
    return seen


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1])), default=str))
