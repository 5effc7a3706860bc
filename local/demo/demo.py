"""`python3 -m tools demo`: the vendors' security logs arrive in tables on this machine.

Real functions, Microsoft's SDKs, sign-in and storage emulator; only the far ends are local. All
of it stays in .local/, so a second run sends only what is new.
"""

from __future__ import annotations

import argparse
import errno
import functools
import logging
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from local.commands.query import WORKSPACE
from local.demo.accounts import Served, serve_accounts
from local.demo.keep import keep
from local.demo.missing import MissingPosts, NotTold
from local.demo.progress import progress, say
from local.demo.reconcile import StreamResult, reconcile
from local.demo.report import Repeats, report
from local.demo.state import State
from local.host.host import Host
from local.loopback.faults import FOREVER, answer
from local.loopback.folder_lock import FolderInUse, emulator_lock, hold_folder
from local.vendors.record_store import Record
from local.vendors.registry import vendors
from local.vendors.traffic import WEEK, Period
from local.vendors.vendor import CountedAccount, PostingAccount, Vendor
from local.world import FOLDER, Destination, destination, environment, storage
from shared.telemetry.humanize import many
from tools import interrupts
from tools.project import names_in_words

LOOKBACK_HOURS = 8 * 24  # a week of history, and a day of room
MOST_SIZE = 100
REPEATED = 100  # events posted twice, as after an answer that was lost
POLLS = "ConnectionPoll"


@dataclass(frozen=True, slots=True)
class Place:
    """The demo's folder, and how large its week is (1: some ten thousand records)."""

    folder: Path = FOLDER
    size: float = 1.0

    @property
    def state(self) -> Path:
        """The vendors, for the next run."""
        return self.folder / "demo" / "state.json.gz"

    @property
    def storage(self) -> Path:
        """The storage emulator's data."""
        return self.folder / "demo" / "storage"

    @property
    def workspace(self) -> Path:
        """The tables."""
        return self.folder / WORKSPACE.name

    def reset(self) -> None:
        """Put the tables aside: without the vendors' state their rows would count as repeats."""
        self.storage.mkdir(parents=True, exist_ok=True)
        with emulator_lock(self.storage):
            shutil.rmtree(self.state.parent, ignore_errors=True)
        shutil.rmtree(self.workspace.with_suffix(".accepted"), ignore_errors=True)
        if self.workspace.exists():
            self.workspace.replace(self.workspace.with_stem(f"{WORKSPACE.stem}-before-demo"))


class DemoFailed(Exception):
    """A step failed, so the run's table would say nothing."""


class Demo:
    """One run: vendors, host and destination at work."""

    def __init__(
        self,
        place: Place,
        state: State,
        accounts: Sequence[Served],
        host: Host,
        to: Destination,
    ) -> None:
        self.place, self.state, self.accounts = place, state, accounts
        self.host, self.to = host, to
        self.missing = [
            MissingPosts(served, served.account, host)
            for served in accounts
            if served.vendor.counter and isinstance(served.account, CountedAccount)
        ]

    @property
    def posting(self) -> list[tuple[Served, PostingAccount]]:
        """The accounts that post to a webhook."""
        found = [(served, served.account) for served in self.accounts]
        return [(s, account) for s, account in found if isinstance(account, PostingAccount)]

    @property
    def polled(self) -> list[Served]:
        """The accounts that are polled."""
        return [s for s in self.accounts if not isinstance(s.account, PostingAccount)]

    def fill(self) -> None:
        """Add a week of history on a vendor's first run, later the time since its last run."""
        now = datetime.now(UTC)
        for served in self.accounts:
            state = self.state.of(served.title)
            start = datetime.fromisoformat(state.until) if state.until else now - WEEK
            served.account.fill(Period(start, now, self.place.size * served.share))
            state.until = now.isoformat()
        self.save()

    def records(self) -> dict[str, int]:
        """How many records each account that is polled has now."""
        return {
            served.title: sum(len(served.account.records(each)) for each in served.vendor.streams)
            for served in self.polled
        }

    def counts(self) -> str:
        """The same in words."""
        counts = list(self.records().items())
        head = [f"{name} has {count:,} records now" for name, count in counts[:1]]
        return ", ".join([*head, *(f"{name} {count:,}" for name, count in counts[1:])])

    def poll(self) -> None:
        """Tick the timer of every vendor that is polled once, and poll what it hands out."""
        for function in dict.fromkeys(served.vendor.function for served in self.polled):
            self.step(function, functools.partial(self._tick, function))

    def post(self, served: Served, account: PostingAccount) -> None:
        """Post an account's events: Azure Monitor is down for a third, and some are sent twice.

        Some never come, where the app counts: it tells, and they are fetched.
        """
        vendor = served.vendor
        counted = [each for each in self.missing if each.served is served]
        for each in counted:
            each.begin()
        lost = [each.lose(self.step) for each in counted]
        events = account.pending()
        third = len(events) // 3
        send = functools.partial(self._send, vendor, account)
        self.step(vendor.function, lambda: send(events[: 2 * third]))
        say("      Azure Monitor goes down; the webhook keeps events in its queue")
        for stream in vendor.streams:
            self.to.monitor.faults.add(f"/{stream.stream}", answer(503), times=FOREVER)
        self.step(vendor.function, lambda: send(events[2 * third :]))
        self.to.monitor.faults.clear()
        say(f"      Azure Monitor is back; {vendor.name} also repeats its last ten batches")
        send(events[-REPEATED:])
        self.step("DeliveryRetry", self._redeliver)
        for each, posts in zip(counted, lost, strict=True):
            each.fetch(self.step, posts)

    def _send(self, vendor: Vendor, account: PostingAccount, events: Sequence[Record]) -> str:
        if failed := account.post(self.host.url(vendor.function), events):
            raise DemoFailed(f"The webhook did not take {failed} events.")
        return ""

    def _redeliver(self) -> str:
        messages = 0
        while found := self.host.poll("DeliveryRetry"):
            messages += found
        return many(messages, "message")

    def _tick(self, function: str) -> str:
        done = self.host.tick(function)
        if done.error is not None:
            raise DemoFailed(f"{function} failed: {done.error}") from done.error
        polls, queue = 0, self.host.queues.get(POLLS)
        while queue and (found := queue.poll()):
            polls += found
            if queue.failures:
                raise DemoFailed(f"{POLLS} failed: {queue.failures[0]}") from queue.failures[0]
        return f"{many(polls, 'connection')} handed out" if polls else ""

    def add_late(self) -> tuple[int, int]:
        """Release late records and change others in place; return how many of each."""
        now = datetime.now(UTC)
        late = sum(served.account.release_late() for served in self.accounts)
        return late, sum(served.account.change(now) for served in self.accounts)

    def step(self, name: str, work: Callable[[], str]) -> None:
        """Do one thing, and show how many records are delivered meanwhile."""
        before, started = self._delivered(), time.monotonic()
        with progress(lambda: f"      {name}: {many(self._delivered() - before, 'record')}"):
            more = work()
        seconds = time.monotonic() - started
        records = many(self._delivered() - before, "record")
        say(f"      {name}: {records}, {seconds:.1f} s{', ' + more if more else ''}")

    def _delivered(self) -> int:
        totals = self.to.monitor.accepted.totals()
        return sum(v["records"] for k, v in totals.items() if k != "Custom-ConnectorHealth")

    def save(self) -> None:
        """Leave everything for the next run."""
        for served in self.accounts:
            self.state.of(served.title).saved = served.account.save()
        self.state.save(self.place.state)


def main(arguments: list[str]) -> int:
    """Run it; 0 if every record arrived, 1 if any was lost."""
    parser = argparse.ArgumentParser(prog="python3 -m tools demo", description=__doc__)
    fresh = "start over; the tables so far are kept as workspace-before-demo.duckdb"
    parser.add_argument("--fresh", action="store_true", help=fresh)
    parser.add_argument("--logs", action="store_true", help="show the functions' own log lines")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to keep it all (.local)")
    parser.add_argument("--size", type=_size, default=1.0, help="of the week (1)")
    stay = "leave vendors, timers and status page running, and let events go on happening"
    parser.add_argument("--keep", action="store_true", help=stay)
    options = parser.parse_args(arguments)
    level = logging.INFO if options.logs else logging.ERROR
    logging.basicConfig(level=level, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("azure").setLevel(logging.ERROR)
    place = Place(options.folder, options.size)
    interrupts.install()
    try:
        with (
            interrupts.raised_as_interrupt(),
            hold_folder(options.folder, "python3 -m tools demo"),
        ):
            return _demo(place, fresh=options.fresh, stay=options.keep)
    except (FolderInUse, DemoFailed, NotTold) as failure:
        print(failure, file=sys.stderr)
    except OSError as failure:
        if failure.errno != errno.EADDRINUSE:
            raise
        print(
            f"{failure}. It is a vendor's port of the last run: end the program that has it now, "
            "or start over on other ports: --fresh",
            file=sys.stderr,
        )
    except KeyboardInterrupt:
        logging.disable()
        print("Interrupted. The next demo goes on from here; --fresh starts over.", flush=True)
        return interrupts.STATUS
    return 1


def _size(text: str) -> float:
    size = float(text)
    if not 0 < size <= MOST_SIZE:
        raise argparse.ArgumentTypeError(f"must be over 0 and at most {MOST_SIZE}")
    return size


def _demo(place: Place, *, fresh: bool, stay: bool) -> int:
    if fresh or not place.state.exists():
        place.reset()
    started = time.monotonic()
    state = State.load(place.state)
    repeats = Repeats(dict(state.repeats), state.unfinished, state.operated)
    with _running(place, state) as demo:
        results = [replace(each, twice=repeats.new(each)) for each in _run(demo)]
        report(results, _sent(demo), repeats, time.monotonic() - started, place.folder)
        if stay:
            with interrupts.polite() as asked:
                keep(demo, asked)
    lost = any(result.lost for result in results)
    twice = any(result.twice for result in results)
    return 1 if lost or (twice and not repeats.explained) else 0


def _sent(demo: Demo) -> dict[str, int]:
    """How many records of each account's streams this run sent, by their labels."""
    found: Counter[str] = Counter()
    for served in demo.accounts:
        for stream in served.vendor.streams:
            found[served.label(stream)] = sum(
                record.get("AdditionalFields", {}).get("Connection", "") == served.connection
                for record in demo.to.monitor.records(stream.stream)
            )
    return found


@contextmanager
def _running(place: Place, state: State) -> Iterator[Demo]:
    """Start everything; the app's settings are the environment's within the block."""
    names = [
        f"{vendor.name} {name}".rstrip() for vendor in vendors() for name in vendor.connections
    ]
    say(f"1/5  Starting storage, sign-in, Azure Monitor, {names_in_words(names)} on this machine")
    with (
        storage(place.storage) as connection,
        serve_accounts(state) as accounts,
        destination(place.workspace) as to,
    ):
        settings = {
            "AzureWebJobsStorage": connection,
            "InitialLookbackHours": str(LOOKBACK_HOURS),
            **to.settings,
        }
        for each in accounts:
            settings |= each.settings
        with environment(settings), Host() as host:
            yield Demo(place, state, accounts, host, to)


def _run(demo: Demo) -> list[StreamResult]:
    """Do one run; return each stream's result."""
    state = demo.state
    again = any(each.until for each in state.vendors.values())
    state.unfinished = True  # as fill() saves it, until the end
    demo.fill()
    period = "More happens after the last run" if again else "A week of history"
    say(f"2/5  {period}: {demo.counts()}")
    say("3/5  The timers tick")
    demo.poll()
    for served, account in demo.posting:
        say(f"4/5  {served.title} has {many(len(account.pending()), 'event')} to post")
        demo.post(served, account)
    late, changed = demo.add_late()
    say(f"5/5  {many(late, 'late record')} appear, {changed} change in place; another tick")
    demo.poll()
    with progress(lambda: "      Azure Monitor fills the tables"):
        demo.to.monitor.settle()
    results = reconcile(demo.accounts, demo.to.workspace)
    state.repeats |= {each.label: each.twice for each in results}
    state.unfinished = state.operated = False
    demo.save()
    return results
