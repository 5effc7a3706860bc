"""The page in a real browser, over real local data, in its three states."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import shared.azure.storage
from local.loopback.faults import FOREVER, answer
from local.vendors.onelogin_records import onelogin_event
from shared.delivery.spool import POISON_QUEUE, Message, Spool
from shared.errors import RunFailed
from shared.polling import shares
from shared.records.timestamps import utc_now
from tests.app import App, replay_a_day
from tests.status.browser import Screen, chromium, render
from tools.project import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="needs Chromium (Debian package chromium)"),
]

SCREENSHOTS = ROOT / "docs" / "screenshots"
# Renewed by KEEP_SCREENSHOTS=1; the others are made and rendered, not kept.
KEPT = {
    "status-healthy.png",
    "status-catching-up.png",
    "status-catching-up-phone.png",
    "status-broken.png",
    "status-broken-dark.png",
}
SCREENS = {
    "": Screen(1280),
    "-dark": Screen(1280, dark=True),
    "-phone": Screen(390, phone=True),
}


def _events(count: int) -> list[dict[str, object]]:
    return [onelogin_event(number, utc_now()) for number in range(count)]


def healthy(app: App) -> None:
    """A day of all three connectors without a problem."""
    app.fill(120)
    app.sentinelone.denied["devicecontrol"] = 403
    app.poll_sentinelone()
    app.poll_jira()
    app.post_events(_events(40))
    replay_a_day(lambda hour: 4 + (hour * 5) % 13 + 20 * (6 < hour < 14))


def catching_up(app: App) -> None:
    """SentinelOne has more records than a run has time for."""
    app.settings.setenv("SentinelOneStreams", "threats,activities")
    app.settings.setenv("AzureFunctionsJobHost__functionTimeout", "00:00:02")
    app.settings.setenv("InitialLookbackHours", "168")
    app.fill(12_000)
    app.sentinelone.server.latency = 0.3
    # The timeout is seconds instead of ten minutes: leave a page the time it takes.
    app.settings.setattr(shares, "DELIVERY_SHARE", 20.0)
    app.settings.setenv("SentinelOneRequestsPerSecond", "3")
    app.poll_sentinelone()
    app.settings.delenv("AzureFunctionsJobHost__functionTimeout")
    app.poll_jira()
    app.post_events(_events(40))
    replay_a_day(lambda hour: 3 + (hour * 7) % 11)


def broken(app: App) -> None:
    """A revoked token, refused records, an outage of Azure Monitor, a poison message."""
    healthy(app)
    app.sentinelone.token = "renewed in the console"
    with pytest.raises(RunFailed):
        app.poll_sentinelone()
    app.monitor.refuse = lambda _, record: (
        "InvalidRecord: a value is not of its column's type"
        if "9" in str(record["id"])[-1:]
        else None
    )
    app.jira.add([{"id": 900_000_000 + n, "created": _jira_time()} for n in range(60)])
    app.poll_jira()
    app.monitor.faults.add("Custom-OneLogin", answer(503), times=FOREVER)
    app.post_events([{**event, "uuid": f"late-{n}"} for n, event in enumerate(_events(30))])
    queue = shared.azure.storage.queue(POISON_QUEUE)
    queue.create_queue()
    Spool().put("Custom-OneLogin", [b'{"uuid":"given up"}'])
    queue.send_message(Message("Custom-OneLogin", 5, gzip=b"").text())


def _jira_time() -> str:
    return utc_now().strftime("%Y-%m-%dT%H:%M:%S.000+0000")


@pytest.mark.parametrize(
    ("state", "title"),
    [
        (healthy, "All is well"),
        (catching_up, "Catching up"),
        (broken, "Something fails"),
    ],
)
def test_the_page_reads_well_in_a_real_browser(
    state: Callable[[App], None],
    title: str,
    app: App,
    served: str,
    tmp_path: Path,
) -> None:
    """Light, dark and on a phone: no warning, nothing cut off, no script, nothing loaded."""
    state(app)
    grounds = set()
    for suffix, screen in SCREENS.items():
        rendered = render(served, screen, tmp_path / f"profile{suffix}")
        name = f"status-{state.__name__.replace('_', '-')}{suffix}.png"
        keep = SCREENSHOTS if os.environ.get("KEEP_SCREENSHOTS") and name in KEPT else tmp_path
        (keep / name).write_bytes(rendered.screenshot)
        facts = json.dumps(rendered.facts)
        assert rendered.warnings == [], facts
        assert not rendered.overflow, facts
        assert rendered.facts["title"].startswith(title), facts
        assert rendered.facts["landmarks"] == ["header", "main", "footer"]
        assert rendered.facts["unlabelled"] == rendered.facts["headless"] == 0
        assert rendered.facts["requests"] == rendered.facts["scripts"] == 0
        grounds.add(rendered.facts["ground"])
    assert len(grounds) == 2
