"""A real headless Chromium, driven over the DevTools protocol.

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
    """Return the path of Chromium, None where it is not installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


@dataclass(frozen=True, slots=True)
class Screen:
    """A screen: its width in px, its colour scheme, whether it is a phone's."""

    width: int
    dark: bool = False
    phone: bool = False


@dataclass(slots=True)
class Rendered:
    """A rendered page: its screenshot, the warnings of the browser, facts about its document."""

    screenshot: bytes
    warnings: list[str]
    overflow: bool
    facts: dict[str, Any]


# Evaluated by the debugger; the page itself runs no script.
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


def render(url: str, screen: Screen, profile: Path) -> Rendered:
    """Open ``url`` and take a screenshot of the whole page."""
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
        return asyncio.run(_open(_address(process), url, screen))
    finally:
        watch.cancel()
        process.terminate()
        process.communicate()


def _address(process: subprocess.Popen[str]) -> str:
    lines: list[str] = []
    for line in process.stderr or ():
        lines.append(line)
        if found := re.search(r"DevTools listening on ws://([^/]+)/", line):
            return found[1]
    raise RuntimeError("Chromium did not start: " + "".join(lines[-5:]))


async def _open(address: str, url: str, screen: Screen) -> Rendered:
    timeout = aiohttp.ClientTimeout(total=WAIT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        async with session.get(f"http://{address}/json") as listed:
            target = next(t for t in await listed.json() if t["type"] == "page")
        async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            return await _Page(socket).render(url, screen)


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

    async def render(self, url: str, screen: Screen) -> Rendered:
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
        screenshot = await self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        warnings = [
            message["params"]["entry"]["text"]
            for message in self.events
            if message.get("method") == "Log.entryAdded"
            and message["params"]["entry"]["level"] in ("error", "warning")
            and "favicon" not in message["params"]["entry"].get("url", "")
        ]
        known: dict[str, Any] = json.loads(facts["result"]["value"])
        return Rendered(base64.b64decode(screenshot["data"]), warnings, known["wide"], known)
