"""`demo --keep`: vendors, timers, webhook and status page stay, and events go on happening."""

from __future__ import annotations

import json
import logging
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from local.demo.progress import say
from local.demo.report import query_command
from shared.telemetry.humanize import many

if TYPE_CHECKING:
    from local.demo.demo import Demo

EVERY_SECONDS = 20.0
# The logger of a person's actions, and those that send records once more.
OPERATED_BY = "connectors.status"
SENDS_AGAIN = {"replay", "reset", "fetch"}
STOP_SECONDS = 30.0


def keep(demo: Demo, asked: threading.Event) -> None:
    """Run the app on its real schedules until ``asked`` is set; then let running functions end."""
    host = demo.host
    host.run()
    say("")
    say("It all stays until Ctrl+C, and events go on happening.")
    if "Status" in host.functions:
        say(f"  the status page               {host.url('Status')}")
    for served in demo.accounts:
        if served.account.port:
            say(f"  {served.title + ' listens on':<28}  http://127.0.0.1:{served.account.port}")
    for served, _ in demo.posting:
        say(f"  {served.title + ' posts to':<28}  {host.url(served.vendor.function)}")
    for function in host.functions.values():
        if function.kind == "timerTrigger":
            due = function.schedule.next(datetime.now(UTC))
            say(f"  {function.name:<28}  next tick {due:%H:%M:%S} UTC")
    name = demo.accounts[0].vendor.name
    say(f"  another terminal              {query_command(f'{name} | count', demo.place.folder)}")
    if "Status" in host.functions:
        page = host.url("Status")
        say(f"                                python3 -m tools pause {name} --url '{page}'")
    demo.state.unfinished = True  # a kill from here on repeats what the vendors then make again
    told = logging.getLogger(OPERATED_BY)
    told.setLevel(logging.WARNING)
    told.addHandler(Operated(demo))
    told.propagate = False
    while not asked.wait(EVERY_SECONDS):
        say(f"{datetime.now(UTC):%H:%M:%S} UTC  {happen(demo)}")
    host.stop()
    waited = time.monotonic() + STOP_SECONDS
    if running := host.running():
        names = ", ".join(f"{name} ({seconds:.0f} s)" for name, seconds in running.items())
        say(f"Waiting at most {STOP_SECONDS:.0f} s for {names}; Ctrl+C again ends it now")
    while host.running() and time.monotonic() < waited:
        time.sleep(0.1)
    demo.state.unfinished = bool(host.running())
    for each in demo.missing:
        each.write_counts()
    demo.save()


class Operated(logging.Handler):
    """Notes that a person had something sent again: the next run's repeats have a reason."""

    def __init__(self, demo: Demo) -> None:
        super().__init__()
        self._demo = demo

    def emit(self, record: logging.LogRecord) -> None:
        """See ``logging.Handler``; a line of the app's log is an event's name, and JSON."""
        name, _, text = record.getMessage().partition(" ")
        if name == "operated":
            event = json.loads(text)
            self._demo.state.operated |= event["Action"] in SENDS_AGAIN
            say(f"{event['Action']}: {event['Message']}")


def happen(demo: Demo) -> str:
    """Make what happened at each vendor since the last time; post what is posted. Say how much."""
    late = sum(served.account.release_late() for served in demo.accounts)
    changed = sum(served.account.change(datetime.now(UTC)) for served in demo.accounts)
    before = sum(demo.records().values())
    demo.fill()
    made = sum(demo.records().values()) - before
    posted = 0
    for served, account in demo.posting:
        events = account.pending()
        posted += len(events) - account.post(demo.host.url(served.vendor.function), events)
    demo.save()
    return (
        f"{many(made + late, 'new record')} at the vendors, {changed} changed, "
        f"{many(posted, 'event')} posted"
    )
