"""`python3 -m tools demo`: three vendors' security logs arrive in tables on this machine.

Real functions, Microsoft's SDKs, sign-in and storage emulator; only the far ends are local. What
there is afterwards stays in .local/, so a second run sends only what is new.
"""

from __future__ import annotations

import argparse
import errno
import functools
import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.commands.query import WORKSPACE
from local.demo.reconcile import table, tally
from local.demo.state import State
from local.demo.traffic import WEEK, History
from local.host.host import Host
from local.loopback.faults import FOREVER, answer
from local.vendors.jira import Jira
from local.vendors.onelogin import OneLogin
from local.vendors.sentinelone import SentinelOne
from local.world import FOLDER, Destination, destination, environment, storage

TOKEN = "local-onelogin-token"
AT_LEAST = 0.002  # of a week's records happen between two runs, however soon the second comes
TIMERS = ("SentinelOneTimer", "JiraAuditTimer")
EXAMPLE = "SentinelOne | summarize Events = count() by EventType | order by Events"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the demo keeps its things, and how large its week is (1: some ten thousand records)."""

    folder: Path = FOLDER
    size: float = 1.0

    @property
    def state(self) -> Path:
        """The vendors, for the next run."""
        return self.folder / "demo" / "vendors.json.gz"

    @property
    def storage(self) -> Path:
        """The storage emulator's data."""
        return self.folder / "demo" / "storage"

    @property
    def workspace(self) -> Path:
        """The tables."""
        return self.folder / WORKSPACE.name

    def begin_anew(self) -> None:
        """Without the last run's memory its rows would count as repeats: they are put aside."""
        shutil.rmtree(self.state.parent, ignore_errors=True)
        if self.workspace.exists():
            self.workspace.replace(self.workspace.with_stem(f"{WORKSPACE.stem}-before-demo"))


class Demo:
    """One run: vendors, host and destination at work."""

    def __init__(
        self,
        place: Place,
        state: State,
        vendors: tuple[SentinelOne, Jira],
        host: Host,
        to: Destination,
    ) -> None:
        self.place, self.state = place, state
        self.sentinelone, self.jira = vendors
        self.host, self.to = host, to
        self.history = History(size=place.size, made=state.made)
        self.onelogin = OneLogin(host.url("OneLoginWebhook"), TOKEN)

    def happen(self) -> list[Any]:
        """What the vendors have seen since: a week the first time. Returns OneLogin's events."""
        now = datetime.now(UTC)
        if not self.state.until:
            events = self.history.week(self.sentinelone, self.jira, now)
        else:
            since = datetime.fromisoformat(self.state.until)
            share = max(AT_LEAST, (now - since) / WEEK)
            events = self.history.span(self.sentinelone, self.jira, since, now, share=share)
        self.state.until = now.isoformat()
        return events

    def poll(self) -> None:
        """Both timers tick once."""
        for name in TIMERS:
            self.step(name, functools.partial(self._tick, name))

    def post(self, events: list[Any]) -> None:
        """OneLogin posts its events; for a part of them Azure Monitor is down, some come again."""
        third = len(events) // 3
        self.step("OneLoginWebhook", lambda: self._send(events[: 2 * third]))
        say("      Azure Monitor goes down; the webhook keeps what comes in its queue")
        self.to.monitor.faults.add("/Custom-OneLogin", answer(503), times=FOREVER)
        self.step("OneLoginWebhook", lambda: self._send(events[2 * third :]))
        self.to.monitor.faults.clear()
        say("      Azure Monitor is back; OneLogin also repeats its last ten batches")
        self._send(events[-100:])
        self.step("DeliveryRetry", self._work_off)
        self.state.onelogin += events

    def _send(self, events: list[Any]) -> str:
        failed = self.onelogin.broadcast(events)
        if failed:
            raise DemoFailed(f"The webhook did not take {len(failed)} events.")
        return ""

    def _work_off(self) -> str:
        messages = 0
        while found := self.host.poll("DeliveryRetry"):
            messages += found
        return numbered(messages, "message")

    def _tick(self, name: str) -> str:
        done = self.host.tick(name)
        if done.error is not None:
            raise DemoFailed(f"{name} failed: {done.error}") from done.error
        return ""

    def step(self, what: str, work: Callable[[], str]) -> None:
        """Does one thing and shows how many records it delivers while it does."""
        before, started = self._delivered(), time.monotonic()
        with progress(lambda: f"      {what}: {numbered(self._delivered() - before, 'record')}"):
            more = work()
        seconds = time.monotonic() - started
        count = self._delivered() - before
        much = numbered(count, "record")
        say(f"      {what}: {much}, {seconds:.1f} s{', ' + more if more else ''}")

    def _delivered(self) -> int:
        totals = self.to.monitor.accepted.totals()
        return sum(v["records"] for k, v in totals.items() if k != "Custom-ConnectorHealth")

    def save(self) -> None:
        """Leaves everything for the next run."""
        self.state.take(self.sentinelone, self.jira, self.history)
        self.state.save(self.place.state)


class DemoFailed(Exception):
    """A step did not do what it must."""


def main(arguments: list[str]) -> int:
    """Runs it; 0 if every record arrived, 1 if any was lost."""
    parser = argparse.ArgumentParser(prog="python3 -m tools demo", description=__doc__)
    fresh = "begin anew; the tables so far are kept as workspace-before-demo.duckdb"
    parser.add_argument("--fresh", action="store_true", help=fresh)
    parser.add_argument("--logs", action="store_true", help="show the functions' own log lines")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to keep it all (.local)")
    parser.add_argument("--size", type=float, default=1.0, help="of the week (1)")
    options = parser.parse_args(arguments)
    level = logging.INFO if options.logs else logging.ERROR
    logging.basicConfig(level=level, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("azure").setLevel(logging.ERROR)
    place = Place(options.folder, options.size)
    if options.fresh or not place.state.exists():
        place.begin_anew()
    try:
        return _run(place, State.load(place.state))
    except OSError as failure:
        if failure.errno != errno.EADDRINUSE:
            raise
        print(f"{failure}. End that program, or begin anew: --fresh", file=sys.stderr)
        return 1
    except DemoFailed as failure:
        print(failure, file=sys.stderr)
        return 1


def _run(place: Place, state: State) -> int:
    started = time.monotonic()
    again = bool(state.until)
    say("1/5  Starting storage, sign-in, Azure Monitor, SentinelOne and Jira on this machine")
    with (
        storage(place.storage) as connection,
        SentinelOne(port=state.sentinelone_port) as sentinelone,
        Jira(port=state.jira_port) as jira,
        destination(place.workspace) as to,
    ):
        state.sentinelone_port, state.jira_port = sentinelone.server.port, jira.server.port
        with environment(_settings(connection, sentinelone, jira, to)), Host() as host:
            state.give(sentinelone, jira)
            demo = Demo(place, state, (sentinelone, jira), host, to)
            events = demo.happen()
            demo.save()
            had = sum(len(each) for each in sentinelone.streams.values())
            what = "More happens after the last run" if again else "A week of history"
            say(f"2/5  {what}: SentinelOne has {had:,} records now, Jira {len(jira.ids()):,}")
            say("3/5  The timers tick")
            demo.poll()
            say(f"4/5  OneLogin posts {len(events):,} events")
            demo.post(events)
            late = demo.history.appear(sentinelone, jira)
            changed = demo.history.changes(sentinelone, datetime.now(UTC))
            say(f"5/5  {late} late records appear, {changed} change in place; another tick")
            demo.poll()
            with progress(lambda: "      Azure Monitor fills the tables"):
                to.monitor.settle()
            totals = to.monitor.accepted.totals()
            lines = tally(sentinelone, jira, state.onelogin, to.workspace)
            demo.save()
    lost = sum(line.lost for line in lines)
    print()
    print(table(lines, {name: total["records"] for name, total in totals.items()}))
    print("An object that changed counts once as had and arrived, and each of its states as sent;")
    print("policies and sites are snapshots, which have no time to be behind by.")
    print()
    twice = sum(line.twice for line in lines)
    verdict = f"{numbered(lost, 'record')} lost." if lost else "Everything arrived."
    if twice:
        verdict += f" {numbered(twice, 'row')} came twice."
    print(f"{verdict} {time.monotonic() - started:.0f} s.")
    print(f"Ask the tables:  python3 -m tools query '{EXAMPLE}' (or make query Q='…')")
    return 1 if lost else 0


def _settings(
    connection: str, sentinelone: SentinelOne, jira: Jira, to: Destination
) -> Mapping[str, str]:
    return {
        "AzureWebJobsStorage": connection,
        "SentinelOneUrl": sentinelone.url,
        "SentinelOneAPIToken": sentinelone.token,
        "SentinelOneInventoryMinutes": "0",
        "SentinelOneRequestsPerSecond": "100",
        "JiraHomeSiteName": jira.url,
        "JiraUsername": jira.username,
        "JiraAccessToken": jira.token,
        "OneLoginBearerToken": TOKEN,
        "InitialLookbackHours": str(8 * 24),
        **to.settings,
    }


def numbered(count: int, what: str) -> str:
    """1 record, 2,506 records."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def say(text: str) -> None:
    """One line of progress."""
    print(text, flush=True)


@contextmanager
def progress(text: Callable[[], str]) -> Iterator[None]:
    """On a terminal, a line that is renewed until the work is done."""
    if not sys.stdout.isatty():
        yield
        return
    done = threading.Event()

    def show() -> None:
        while not done.wait(0.2):
            print(f"\r\033[K{text()} …", end="", flush=True)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        print("\r\033[K", end="", flush=True)
