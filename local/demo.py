"""`python3 -m tools demo`: three vendors' security logs arrive in tables on this machine.

Real functions, Microsoft's SDKs, sign-in and storage emulator; only the far ends are local. What
there is afterwards stays in .local/, so a second run sends only what is new.
"""

from __future__ import annotations

import argparse
import errno
import functools
import gzip
import json
import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.faults import FOREVER, answer
from local.history import WEEK, History
from local.host import Host
from local.query import WORKSPACE
from local.tally import table, tally
from local.vendors.jira import Jira
from local.vendors.onelogin import OneLogin
from local.vendors.sentinelone import SentinelOne
from local.world import FOLDER, Destination, destination, environment, storage

STATE = FOLDER / "demo"
STATE_FILE = STATE / "vendors.json.gz"
TOKEN = "local-onelogin-token"
AT_LEAST = 0.002  # of a week's records happen between two runs, however soon the second comes
TIMERS = ("SentinelOneTimer", "JiraAuditTimer")
EXAMPLE = "SentinelOne | summarize Events = count() by EventType | order by Events"


@dataclass(slots=True)
class State:
    """What one run leaves for the next."""

    sentinelone_port: int = 0
    jira_port: int = 0
    made: int = 0
    until: str = ""
    records: dict[str, list[Any]] = field(default_factory=dict)
    policies: list[list[Any]] = field(default_factory=list)
    onelogin: list[Any] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> State:
        """The last run's, or a new one."""
        if not path.exists():
            return cls()
        return cls(**json.loads(gzip.decompress(path.read_bytes())))

    def save(self, path: Path) -> None:
        """Written whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        values = {name: getattr(self, name) for name in self.__slots__}
        new.write_bytes(gzip.compress(json.dumps(values).encode(), 1))
        new.replace(path)


class Demo:
    """One run: vendors, host and destination at work."""

    def __init__(
        self, state: State, sentinelone: SentinelOne, jira: Jira, host: Host, to: Destination
    ) -> None:
        self.state = state
        self.sentinelone, self.jira = sentinelone, jira
        self.host, self.to = host, to
        self.history = History(made=state.made)
        self.onelogin = OneLogin(host.url("OneLoginWebhook"), TOKEN)

    def remember(self) -> None:
        """The vendors as the last run left them."""
        for stream, records in self.state.records.items():
            (self.jira if stream == "jira" else self.sentinelone).add(
                *([records] if stream == "jira" else [stream, records])
            )
        for level, scope_id, policy in self.state.policies:
            self.sentinelone.policies[level, scope_id] = policy

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
        return f"{messages} messages"

    def _tick(self, name: str) -> str:
        done = self.host.tick(name)
        if done.error is not None:
            raise DemoFailed(f"{name} failed: {done.error}") from done.error
        return ""

    def step(self, what: str, work: Callable[[], str]) -> None:
        """Does one thing and shows how many records it delivers while it does."""
        before, started = self._delivered(), time.monotonic()
        with progress(lambda: f"      {what}: {self._delivered() - before:,} records"):
            more = work()
        seconds = time.monotonic() - started
        count = self._delivered() - before
        say(f"      {what}: {count:,} records, {seconds:.1f} s{', ' + more if more else ''}")

    def _delivered(self) -> int:
        totals = self.to.monitor.accepted.totals()
        return sum(v["records"] for k, v in totals.items() if k != "Custom-ConnectorHealth")

    def save(self) -> None:
        """Leaves everything for the next run."""
        streams = self.sentinelone.streams.items()
        self.state.records = {name: collection.records() for name, collection in streams}
        self.state.records["jira"] = self.jira.audit_records.records()
        self.state.policies = [[*scope, body] for scope, body in self.sentinelone.policies.items()]
        self.state.made = self.history.made
        self.state.save(STATE_FILE)


class DemoFailed(Exception):
    """A step did not do what it must."""


def main(arguments: list[str]) -> int:
    """Runs it; 0 if every record arrived, 1 if any was lost."""
    parser = argparse.ArgumentParser(prog="python3 -m tools demo", description=__doc__)
    fresh = "begin anew; the tables so far are kept as workspace-before-demo.duckdb"
    parser.add_argument("--fresh", action="store_true", help=fresh)
    parser.add_argument("--logs", action="store_true", help="show the functions' own log lines")
    options = parser.parse_args(arguments)
    level = logging.INFO if options.logs else logging.ERROR
    logging.basicConfig(level=level, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("azure").setLevel(logging.ERROR)
    if options.fresh or not STATE_FILE.exists():
        _begin_anew()
    try:
        return _run(State.load(STATE_FILE))
    except OSError as failure:
        if failure.errno != errno.EADDRINUSE:
            raise
        print(f"{failure}. End that program, or begin anew: --fresh", file=sys.stderr)
        return 1
    except DemoFailed as failure:
        print(failure, file=sys.stderr)
        return 1


def _begin_anew() -> None:
    """Without the last run's memory its rows would count as repeats: they are put aside."""
    shutil.rmtree(STATE, ignore_errors=True)
    if WORKSPACE.exists():
        WORKSPACE.replace(WORKSPACE.with_stem(f"{WORKSPACE.stem}-before-demo"))


def _run(state: State) -> int:
    started = time.monotonic()
    again = bool(state.until)
    say("1/5  Starting storage, sign-in, Azure Monitor, SentinelOne and Jira on this machine")
    with (
        storage(STATE / "storage") as connection,
        SentinelOne(port=state.sentinelone_port) as sentinelone,
        Jira(port=state.jira_port) as jira,
        destination(WORKSPACE) as to,
    ):
        state.sentinelone_port, state.jira_port = sentinelone.server.port, jira.server.port
        with environment(_settings(connection, sentinelone, jira, to)), Host() as host:
            demo = Demo(state, sentinelone, jira, host, to)
            demo.remember()
            events = demo.happen()
            demo.save()
            had = sum(len(each) for each in sentinelone.streams.values())
            what = "What is new since the last run" if again else "A week of history"
            say(f"2/5  {what}: SentinelOne has {had:,} records, Jira {len(jira.ids()):,}")
            say("3/5  The timers tick")
            demo.poll()
            say(f"4/5  OneLogin posts {len(events):,} events")
            demo.post(events)
            late = demo.history.appear(sentinelone, jira)
            changed = demo.history.changes(sentinelone, datetime.now(UTC))
            say(
                f"5/5  {late} late records appear, {changed} change in place; the timers tick again"
            )
            demo.poll()
            with progress(lambda: "      Azure Monitor fills the tables"):
                to.monitor.settle()
            totals = to.monitor.accepted.totals()
            lines = tally(sentinelone, jira, state.onelogin, to.workspace)
            demo.save()
    lost = sum(line.lost for line in lines)
    print()
    print(table(lines, {name: total["records"] for name, total in totals.items()}))
    print()
    verdict = f"{lost:,} records were lost." if lost else "Everything arrived."
    print(f"{verdict} {time.monotonic() - started:.0f} s.")
    print(f"Ask the tables:  python3 -m tools query '{EXAMPLE}'")
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
