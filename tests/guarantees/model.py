"""A world small enough for thousands of histories a minute, around the real engine and delivery.

The engine, its checkpoints, the packing and the delivery are the product's own. The vendor, the
table, the destination and the clocks are models; limits are small, so that a dozen records fill
batches, properties and rows. A kill is a BaseException at one effect: from then on the process
can do nothing more, and all that it knew is thrown away.
"""

from __future__ import annotations

import functools
import logging
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Self, TypeVar, cast

import orjson
import pytest

from shared.azure import storage
from shared.delivery.batch import Batch, Packer
from shared.delivery.batch_sender import BatchSender
from shared.delivery.dead_letters import DeadLetterSink, Refused
from shared.errors import (
    BatchRefused,
    BatchTooLarge,
    CheckpointConflict,
    DestinationRefused,
    DestinationUnavailable,
    StorageUnavailable,
    VendorRefused,
    VendorUnavailable,
)
from shared.polling import pipeline, prefetch, stream_poll
from shared.polling import run as polling_run
from shared.polling.shares import StreamTask
from shared.records.raw import Record, as_record
from shared.records.timestamps import isoformat
from shared.settings.app import PollingSettings
from shared.source import ascending
from shared.source.connector import Connection
from shared.source.cursors import CursorRefused, walk_window
from shared.source.stream import Page, Stream, Window
from shared.state import checkpoint
from tests.guarantees.model_table import (
    ModelTable,
    answer_lost,
    given_up,
    unavailable,
    well_behaved,
)
from tests.polling.connectors import connector_of

Result = TypeVar("Result")
TABLE_FAULTS = {"unavailable": unavailable, "given up": given_up, "answer lost": answer_lost}
UPLOAD_FAULTS = ("too large", "forbidden", "unavailable", "out of time", "answer lost")

POLLING = PollingSettings(initial_lookback_hours=24 * 365, overlap_minutes=10)
EPOCH = datetime(2026, 3, 29, tzinfo=UTC)  # clocks change in Europe at one o'clock that night
OVERLAP = timedelta(minutes=10)
PAGE = 3
BATCH_BYTES = 400
IN_FLIGHT_BYTES = pipeline.IN_FLIGHT * BATCH_BYTES
PARTITION = "Model:model.example"
STREAM = Stream("Custom-Model", "model", "at", "at", (("id", "at"),))


class Killed(BaseException):
    """SIGKILL, as far as one process can do it to itself."""


@dataclass(slots=True)
class Plan:
    """The faults of one run: effects are counted from 0, ``kind`` by ``kind``.

    ``kill_at`` counts all effects; ``kill_after`` has the last one still happen. ``pages`` is the
    time to fetch, in pages. ``arrivals``: after the n-th page appears a record of that id, so many
    seconds late. ``eager`` says of each upload whether it is done as soon as it is
    begun, or only when somebody waits for it. ``other_host_at`` has another run happen there.
    ``refuse_cursor``: the vendor does not take a cursor that an earlier run kept.
    """

    kill_at: int | None = None
    kill_after: bool = False
    pages: int | None = None
    eager: Sequence[bool] = ()
    faults: dict[tuple[str, int], str] = field(default_factory=dict)
    other_host_at: int | None = None
    arrivals: dict[int, tuple[str, int]] = field(default_factory=dict)
    seconds_a_page: int = 1
    refuse_cursor: bool = False


class Tenant:
    """A vendor's records, which of them arrived, and how many bytes may have come twice.

    Ids are the same in every tenant: ``letter``, in each record's text, tells whose it is.
    """

    def __init__(self, name: str = "", letter: str = "x") -> None:
        self.name = name
        self.letter = letter
        self.records: list[tuple[str, str]] = []  # (at, id), as the vendor sorts them
        self.sorted_at: dict[str, str] = {}  # of an id that the vendor sorts by an earlier time
        self.listed: dict[tuple[str, str], int] = {}  # in which order the vendor showed them
        self.arrived: Counter[str] = Counter()
        self.dead: list[str] = []
        self.repeated_bytes = 0
        self.allowed_bytes = 0
        self.overflowed = False
        self.answers = True

    def add(self, record: dict[str, str]) -> None:
        """The vendor shows ``record`` from now on."""
        key = (record["at"], record["id"])
        insort(self.records, key)
        self.listed.setdefault(key, len(self.listed))

    def must_have_arrived(self, now: datetime) -> set[str]:
        """Every state of every record that the vendor shows now, and that is not in the future."""
        limit = isoformat(now)
        return {f"{name} {at}" for at, name in self.records if at < limit}

    def settled(self) -> set[str]:
        """What arrived, and every state of what is a dead letter."""
        dead = {f"{name} {at}" for at, name in self.records if name in self.dead}
        return set(self.arrived) | dead

    def accept(self, body: bytes) -> None:
        """Azure Monitor has taken a record."""
        record = orjson.loads(body)
        known = f"{record['id']} {record['at']}"
        if self.arrived[known]:
            self.repeated_bytes += len(body) + 1
        self.arrived[known] += 1

    def repeats_are_bounded(self) -> bool:
        """Whether no more came twice than what happened explains."""
        return self.overflowed or self.repeated_bytes <= self.allowed_bytes


class World:
    """The vendors, the table, the clocks, and the records in Azure Monitor.

    ``run`` polls the first tenant, without a lease. ``turn`` is called before and after each
    effect, with its kind: others may act there. ``fault_now`` names the fault of all effects of a
    kind. ``at_work`` gives the tenant that is polled at this moment.
    """

    def __init__(
        self,
        tenants: Sequence[Tenant] = (),
        *,
        parallelism: int = 1,
        newest_first: bool = False,
        by_listing: bool = False,
    ) -> None:
        self.now = EPOCH
        self.host_ahead = timedelta()
        self.table = ModelTable()
        self.table.on_read = functools.partial(self._table_effect, "read")
        self.table.on_write = functools.partial(self._table_effect, "write")
        self.tenants = {tenant.name: tenant for tenant in tenants or [Tenant()]}
        self.tenant = next(iter(self.tenants.values()))
        self.source = ModelSource(
            self, self.tenant, parallelism, newest_first=newest_first, by_listing=by_listing
        )
        self.destination = ModelDestination(self, [self.tenant])
        self.turn: Callable[[str], None] = lambda _: None
        self.fault_now: Callable[[str], str] = lambda _: ""
        self.at_work: Callable[[], Tenant] = lambda: self.tenant
        self.process = Process(self, Plan())
        self.killed_at = ""
        self.runs = 0
        self.failures: dict[str, Exception] = {}

    def new(self, name: str, lateness: float) -> dict[str, str]:
        """A record that the vendor shows ``lateness`` seconds after it happened."""
        return {"id": name, "at": isoformat(self.now - timedelta(seconds=lateness))}

    def window_is_open(self) -> bool:
        """Whether the next run resumes a window of an earlier one."""
        row = self.table.rows.get((PARTITION, STREAM.name))
        return bool(row and row["window_end"])

    def host_clock(self) -> datetime:
        return self.now + self.host_ahead

    def run(self, plan: Plan) -> str:
        """Run one tick of the timer in a new process; return its stream's status."""
        process, self.process = self.process, Process(self, plan)
        self.runs += 1
        try:
            return self._tick(plan)
        except Killed:
            self.tenant.allowed_bytes += IN_FLIGHT_BYTES
            return "killed"
        finally:
            self.process = process

    def run_on_another_host(self) -> None:
        """Run once more, while a run is going on."""
        self.tenant.allowed_bytes += 2 * IN_FLIGHT_BYTES
        self.run(Plan())

    def _tick(self, plan: Plan) -> str:
        session = cast(Any, SimpleNamespace(begin=lambda _: None, requests=0, retries=0))
        connection = Connection("https://model.example", session, [self.source])
        connector = connector_of("Model", self.source)
        run = polling_run.PollRun(connector, connection, self.destination, POLLING)
        run._run_id = f"{self.runs:012d}"
        task = StreamTask(
            connection=connection,
            source=self.source,
            fetch_deadline=self.process.fetched + (10**6 if plan.pages is None else plan.pages),
            deliver_deadline=self.process.clock() + 60,
        )
        run._run_stream(task)
        self.failures = run._failures
        for error in run._failures.values():
            if isinstance(error, CheckpointConflict | StorageUnavailable):
                self.tenant.allowed_bytes += IN_FLIGHT_BYTES
        return run._results[0].status

    def _table_effect(self, kind: str, what: str, act: Callable[[], Any]) -> Any:
        return self.process.effect(
            kind, lambda fault: TABLE_FAULTS.get(fault, well_behaved)(what, act)
        )


class Process:
    """One run of the app: its effects happen in order, and none after it was killed."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.world = world
        self.plan = plan
        self.effects = 0
        self.uploads = 0
        self.fetched = 0
        self.seconds = 0.0
        self.counts: Counter[str] = Counter()
        self.killed = False
        self.host_ahead = timedelta()
        self.frozen_until = EPOCH
        self.freezes = 0

    def clock(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def effect(self, kind: str, act: Callable[[str], Result]) -> Result:
        """``act`` gets the planned fault's name, '' where all is well."""
        if self.killed:
            raise Killed
        self.world.turn(kind)
        number, count = self.effects, self.counts[kind]
        self.effects += 1
        self.counts[kind] += 1
        if number == self.plan.other_host_at:
            self.world.run_on_another_host()
        dying = number == self.plan.kill_at
        if dying:
            self.world.killed_at = kind
        if dying and not self.plan.kill_after:
            self.killed = True
            raise Killed
        try:
            return act(self.world.fault_now(kind) or self.plan.faults.get((kind, count), ""))
        finally:
            if dying:
                self.killed = True
                raise Killed
            self.world.turn(kind)


class ModelSource:
    """A vendor that filters by time, and sorts by it: upwards by key, or downwards by offset.

    ``by_listing``: it sorts in the order in which it showed the records first.
    """

    stream = STREAM

    def __init__(
        self,
        world: World,
        tenant: Tenant,
        parallelism: int = 1,
        *,
        newest_first: bool = False,
        by_listing: bool = False,
    ) -> None:
        self.parallelism = parallelism
        self._world = world
        self._tenant = tenant
        self.newest_first = newest_first
        self.by_listing = by_listing
        self.asked = self.answered = 0

    def pages(self, window: Window | None, after: str = "") -> Iterator[Page]:
        assert window is not None
        if self.by_listing:
            return walk_window(window, after, self._by_listing, lambda page: page.complete_to)
        if after and self._world.process.plan.refuse_cursor:
            after = ""
        if self.newest_first:
            return ascending.ascending(window, self._by_offset, "at", PAGE, after)
        return self._by_key(window, after)

    def _by_key(self, window: Window, cursor: str) -> Iterator[Page]:
        """The cursor is the filter's start, as it was, and the last key."""
        start, *last = cursor.split("|") if cursor else [isoformat(window.start), "", ""]
        window = Window(datetime.fromisoformat(start), window.end)
        after = tuple(last)
        while True:
            found, vendor_time = self._fetch(window)
            keys = sorted((self._tenant.sorted_at.get(name, at), name, at) for at, name in found)
            page = [key for key in keys if key[:2] > after]
            records = [self._record(at, name) for _, name, at in page[:PAGE]]
            after = page[PAGE - 1][:2] if len(page) > PAGE else ()
            cursor = "|".join([start, *after]) if after else ""
            total = 0 if last[0] else len(found)
            yield Page(records, 1, total, vendor_time, not after, cursor)
            if not after:
                return

    def _by_listing(self, window: Window, cursor: str) -> Iterator[Page]:
        """The cursor is the last record's number; the first one of a run may be refused."""
        after = int(cursor or -1)
        while True:
            if after >= 0 and self._world.process.plan.refuse_cursor:
                self._world.process.plan.refuse_cursor = False
                raise CursorRefused(VendorRefused("HTTP 400", status=400))
            found, vendor_time = self._fetch(window)
            numbered = sorted((self._tenant.listed[key], key) for key in found)
            rest = [(number, key) for number, key in numbered if number > after]
            page = rest[:PAGE]
            newest = max((datetime.fromisoformat(at) for _, (at, _) in page), default=None)
            after = page[-1][0] if len(rest) > PAGE else -1
            yield Page(
                [self._record(*key) for _, key in page],
                1,
                vendor_time=vendor_time,
                last=after < 0,
                cursor=f"{isoformat(window.start)} {after}" if after >= 0 else "",
                complete_to=newest - window.overlap if newest else None,
                ordered=False,
            )
            if after < 0:
                return

    def _by_offset(self, window: Window, after: str) -> Iterator[Page]:
        offset = int(after or 0)
        while True:
            found, vendor_time = self._fetch(window)
            page = found[::-1][offset : offset + PAGE]
            offset += len(page)
            records = [self._record(*key) for key in page]
            yield Page(records, 1, len(found), vendor_time, cursor=str(offset))
            if offset >= len(found):
                return

    def _fetch(self, window: Window) -> tuple[list[tuple[str, str]], datetime]:
        """The window's records at this moment, and the answer's Date (whole seconds)."""
        world = self._world
        process = world.process

        def answer(fault: str) -> tuple[list[tuple[str, str]], datetime]:
            process.fetched += 1
            self.asked += 1
            if not self._tenant.answers:
                raise VendorUnavailable("no answer at all")
            self.answered += 1
            if fault:
                raise VendorUnavailable("HTTP 503", status=503)
            low, high = isoformat(window.start), isoformat(window.end)
            found = [key for key in self._tenant.records if low <= key[0] < high]
            vendor_time = world.now.replace(microsecond=0)
            if arrival := process.plan.arrivals.pop(process.fetched, None):
                self._tenant.add(world.new(*arrival))
            world.now += timedelta(seconds=process.plan.seconds_a_page)
            return found, vendor_time

        return process.effect("fetch", answer)

    def _record(self, at: str, name: str) -> Record:
        return as_record({"id": name, "at": at, "text": self._tenant.letter * 40})


class ModelDestination:
    """Azure Monitor: accept batches, or fail as planned."""

    name = "model"

    def __init__(self, world: World, tenants: Sequence[Tenant]) -> None:
        self._world = world
        self._tenants = {tenant.name: tenant for tenant in tenants}

    def declared(self, stream: str) -> None:
        """Records go out as they came."""

    def upload(self, batch: Batch, timeout: float) -> int:
        return self._world.process.effect("upload", lambda fault: self.take(batch, fault))

    def take(self, batch: Batch, fault: str) -> int:
        """Accept the batch, or fail as ``fault`` says."""
        if fault == "too large":
            raise BatchTooLarge("HTTP 413")
        if fault == "forbidden":
            raise DestinationRefused("HTTP 403", status=403)
        if fault == "unavailable":
            raise DestinationUnavailable("HTTP 503", status=503)
        if fault == "out of time":
            raise DestinationUnavailable("HTTP 503", status=503, retry_after=3600)
        if any(orjson.loads(record)["id"].startswith("poison") for record in batch.records):
            raise BatchRefused("InvalidRecord: poison")
        for body in batch.records:
            record = orjson.loads(body)
            tenant = self._tenants[record.get("Connection", "")]
            assert record["text"][0] == tenant.letter, "a record of another connection"
            tenant.accept(body)
        if fault == "answer lost":
            tenant.allowed_bytes += batch.size
            raise DestinationUnavailable("the answer was lost")
        return batch.size

    def renew_sign_in(self) -> None:
        """There is nothing to sign in to."""

    def close(self) -> None:
        """There is nothing to close."""


class ModelDeadLetters:
    """Dead letters that the world keeps."""

    def __init__(self, world: World) -> None:
        self._world = world

    def put(self, stream: str, refused: Sequence[Refused], connection: str = "") -> None:
        def keep(fault: str) -> None:
            if fault:
                raise StorageUnavailable("no blobs")
            for entry in refused:
                self._world.tenants[connection].dead.append(orjson.loads(entry.record)["id"])

        self._world.process.effect("dead letters", keep)


class Uploads:
    """A pool in one thread: run each upload at once, or when its result is awaited."""

    def __init__(self, world: World) -> None:
        self._process = world.process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """A process that ends lets nothing finish."""

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future = _Awaited(functools.partial(work, *arguments))
        eager = self._process.plan.eager
        if eager and eager[self._process.uploads % len(eager)]:
            future.work_off()
        self._process.uploads += 1
        return future


class _Awaited(Future[Any]):
    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self._work = work

    def work_off(self) -> None:
        if not self.done():
            try:
                self.set_result(self._work())
            except Exception as error:  # noqa: BLE001  (the future carries it, as a pool's does)
                self.set_exception(error)

    def result(self, timeout: float | None = None) -> Any:
        self.work_off()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self.work_off()
        return super().exception(timeout)


class Fetchers:
    """A pool that runs each task at once, and drops its errors as a thread pool does."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: Callable[..., Any], *arguments: Any) -> None:
        work(*arguments)


class _Warnings(logging.Handler):
    def __init__(self, world: World) -> None:
        super().__init__(logging.WARNING)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        if "the overlap holds more records" in record.msg:
            self._world.at_work().overflowed = True
        if "records may repeat" in record.msg:
            # A batch failed, and then storage: batches acknowledged beside it could not be stored.
            self._world.at_work().allowed_bytes += IN_FLIGHT_BYTES


def install(world: World, patch: pytest.MonkeyPatch, *, rows: int) -> logging.Handler:
    """Put the product's modules into ``world``, with small limits: ``rows`` rows a checkpoint."""
    patch.setattr(storage, "table", lambda _: world.table)
    patch.setattr(checkpoint, "PER_PROPERTY", 3)
    patch.setattr(checkpoint, "PROPERTIES", 3)
    patch.setattr(checkpoint, "PER_ROW", 9)
    patch.setattr(checkpoint, "MAX_ROWS", rows)
    patch.setattr(prefetch, "RECORDS_EACH", 2 * PAGE)
    patch.setattr(prefetch, "ThreadPoolExecutor", Fetchers)
    patch.setattr(ascending, "PAGES", 2)
    patch.setattr(stream_poll, "ThreadPoolExecutor", lambda *_, **__: Uploads(world))
    patch.setattr(pipeline, "Packer", functools.partial(Packer, limit=BATCH_BYTES))
    clock = SimpleNamespace(monotonic=lambda: world.process.fetched)
    patch.setattr(stream_poll, "time", clock)
    patch.setattr(stream_poll, "utc_now", world.host_clock)
    patch.setattr(polling_run, "utc_now", world.host_clock)
    patch.setattr(polling_run, "DeadLetters", lambda: ModelDeadLetters(world))

    def delivery(destination: Any, dead_letters: DeadLetterSink, **options: Any) -> BatchSender:
        process = world.process
        options |= {"clock": process.clock, "sleep": process.sleep}
        return BatchSender(destination, dead_letters, **options)

    patch.setattr(polling_run, "BatchSender", delivery)
    handler = _Warnings(world)
    pipeline.logger.addHandler(handler)
    return handler
