"""A real headless Chromium, told what to do over its own protocol.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

WAIT_SECONDS = 30.0


def chromium() -> str | None:
    """Where it is, if this machine has one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


@dataclass(frozen=True, slots=True)
class Screen:
    """A screen to look at the page on."""

    width: int
    dark: bool = False
    phone: bool = False


@dataclass(slots=True)
class Seen:
    """What the browser made of a page: its picture, what it complained of, what it holds."""

    picture: bytes
    complaints: list[str]
    overflow: bool
    facts: dict[str, Any]


# Asked in the page's own world; the page itself runs no script.
_FACTS = """{
  const all = selector => [...document.querySelectorAll(selector)];
  const headed = table => table.querySelector('th[scope=col]') &&
    [...table.querySelectorAll('tbody tr:not(.why)')].every(
      row => row.querySelector('th[scope=row]'));
  JSON.stringify({
    title: document.title,
    wide: document.documentElement.scrollWidth > window.innerWidth,
    landmarks: ['header', 'main', 'footer'].filter(name => all(name).length === 1),
    unlabelled: all('svg[role=img]:not([aria-label]), button:empty').length,
    headless: all('table').filter(table => !headed(table)).length,
    requests: performance.getEntriesByType('resource').length,
    ground: getComputedStyle(document.body).backgroundColor,
    scripts: document.scripts.length,
  })
}"""


def look(url: str, screen: Screen, profile: Path) -> Seen:
    """Open ``url`` as a person would, and take its whole picture."""
    program = chromium()
    if program is None:
        raise RuntimeError("there is no Chromium")
    process = subprocess.Popen(
        [
            program,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-first-run",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    watch = threading.Timer(3 * WAIT_SECONDS, process.kill)
    watch.start()
    try:
        return asyncio.run(_look(_address(process), url, screen))
    finally:
        watch.cancel()
        process.terminate()
        process.communicate()


def _address(process: subprocess.Popen[str]) -> str:
    said: list[str] = []
    for line in process.stderr or ():
        said.append(line)
        if found := re.search(r"DevTools listening on ws://([^/]+)/", line):
            return found[1]
    raise RuntimeError("Chromium did not start: " + "".join(said[-5:]))


async def _look(address: str, url: str, screen: Screen) -> Seen:
    timeout = aiohttp.ClientTimeout(total=WAIT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        async with session.get(f"http://{address}/json") as listed:
            target = next(t for t in await listed.json() if t["type"] == "page")
        async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            return await _Page(socket).look(url, screen)


class _Page:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = await self._socket.receive_json(timeout=WAIT_SECONDS)
            if message.get("id") == number:
                result: dict[str, Any] = message["result"]
                return result
            self.events.append(message)

    async def until(self, event: str) -> None:
        while not any(message.get("method") == event for message in self.events):
            self.events.append(await self._socket.receive_json(timeout=WAIT_SECONDS))

    async def look(self, url: str, screen: Screen) -> Seen:
        for domain in ("Page", "Log", "Runtime"):
            await self.ask(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if screen.dark else "light"}
        await self.ask("Emulation.setEmulatedMedia", features=[scheme])
        await self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=screen.width,
            height=800,
            deviceScaleFactor=1,
            mobile=screen.phone,
        )
        await self.ask("Page.navigate", url=url)
        await self.until("Page.loadEventFired")
        facts = await self.ask("Runtime.evaluate", expression=_FACTS, returnByValue=True)
        picture = await self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        complaints = [
            message["params"]["entry"]["text"]
            for message in self.events
            if message.get("method") == "Log.entryAdded"
            and message["params"]["entry"]["level"] in ("error", "warning")
            and "favicon" not in message["params"]["entry"].get("url", "")
        ]
        known: dict[str, Any] = json.loads(facts["result"]["value"])
        return Seen(base64.b64decode(picture["data"]), complaints, known["wide"], known)
