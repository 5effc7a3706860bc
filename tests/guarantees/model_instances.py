"""Instances of an app that polls several connections: ticks, the queue, leases, processes.

The product's own code hands out, takes leases, polls, delivers and commits. Storage, the Functions
host, the vendors, Azure Monitor and time are models.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from azure.core.exceptions import AzureError, ServiceRequestError

from local.host.queue_trigger import INVISIBLE_SECONDS, QueueOptions
from shared.azure import storage
from shared.connections.names import SetUp
from shared.delivery.batch import Batch
from shared.delivery.batch_sender import BatchSender
from shared.delivery.dead_letters import DeadLetterSink
from shared.errors import (
    ConnectorError,
    RunFailed,
    StorageError,
    UnexpectedError,
)
from shared.polling import handed_out, handing_out, shares, stream_poll
from shared.polling import run as polling_run
from shared.polling.handed_out import Taken, poll_handed_out
from shared.source.connector import Connection
from shared.state import lease
from shared.state.keys import connection_key
from tests.guarantees.model import (
    EPOCH,
    IN_FLIGHT_BYTES,
    POLLING,
    ModelDestination,
    ModelSource,
    Plan,
    Process,
    Tenant,
    World,
    install,
)
from tests.guarantees.model_fibers import Fiber, Fibers, threading_of
from tests.guarantees.model_storage import LATEST, ModelContainer, ModelQueue
from tests.polling.connectors import connector_of
from tools.project import ROOT

CONNECTOR = "Model"
# A process frozen for less begins no upload that outlasts its lease.
HARMLESS_FREEZE = 30
_HOST = QueueOptions.read(json.loads((ROOT / "host.json").read_text(encoding="utf-8")))


class Instances:
    """An app on several instances.

    ``sharing`` are the tenants of each destination, ``order`` is how the vendors sort.
    """

    def __init__(
        self, sharing: Sequence[Sequence[Tenant]], instances: int, order: str = "time"
    ) -> None:
        self.order = order
        tenants = [tenant for those in sharing for tenant in those]
        self.world = world = World(tenants)
        self.fibers = Fibers(world)
        world.turn, world.at_work, world.fault_now = self._turn, self._at_work, self._fault_now
        self.sinks = {
            tenant.name: ModelDestination(world, those) for those in sharing for tenant in those
        }
        self.container = ModelContainer(lambda: world.now)
        self.container.on_call = functools.partial(self._call, "lease")
        self.container.on_acquired = self._acquired
        self.queue = ModelQueue(lambda: world.now)
        self.queue.on_call = functools.partial(self._call, "queue")
        self.connector = connector_of(CONNECTOR, world.source)
        self.set_up = {tenant.name for tenant in tenants}
        self.slow: dict[str, float] = {"fetch": 0.0, "upload": 0.0, "storage": 0.0}
        self.down: set[str] = set()
        self.storage_was_well = True
        self.poisoned: list[str] = []
        self.violations: list[str] = []
        self.polls = 0
        self._ticks: dict[int, int] = {}
        self.processes: list[Process] = []
        for number in range(instances):
            self._ticks[number] = 0
            self.processes.append(self._started(number))

    @property
    def _here(self) -> Fiber:
        assert self.fibers.current is not None
        return self.fibers.current

    def _acquired(self, known: str) -> None:
        self._here.leases.add(known)

    def is_read(self, tenant: Tenant) -> bool:
        """Whether a run reads the tenant at this moment."""
        return any(fiber.tenant is tenant for p in self.processes for fiber in self.fibers.of(p))

    def monotonic(self) -> float:
        return (self.world.now - EPOCH).total_seconds()

    def tick(self, number: int) -> None:
        """The timer of an instance is due: Azure runs it on any of them."""
        self._ticks[number] += 1

    def kill(self, number: int) -> None:
        """SIGKILL, and another process in its place."""
        self.processes[number].killed = True
        self._replace_killed()

    def freeze(self, number: int, seconds: float) -> None:
        """Have an instance stand still for so long."""
        process = self.processes[number]
        process.frozen_until = self.world.now + timedelta(seconds=seconds)
        process.freezes += 1
        if seconds >= HARMLESS_FREEZE:
            self._allow_repeats(process)

    def go_on(self, seed: int, *, seconds: float = 0.0, turns: int | None = None) -> None:
        """Let the instances work until so many seconds have passed, or for so many turns."""
        self.fibers.random.seed(seed)
        end = self.world.now + timedelta(seconds=seconds)
        left = turns
        while left is None or left > 0:
            done = self.fibers.run(end, left if left is not None else None)
            self._replace_killed()
            assert not self.violations, self.violations
            if done is None:
                return
            left = None if left is None else left - done

    def _started(self, number: int) -> Process:
        process = Process(self.world, undisturbed())
        self.fibers.spawn(process, functools.partial(self._host, process, number))
        return process

    def _replace_killed(self) -> None:
        for number, process in enumerate(self.processes):
            if process.killed:
                self._allow_repeats(process)
                self.fibers.unwind(process)
                self.processes[number] = self._started(number)
                self.processes[number].host_ahead = process.host_ahead

    def _allow_repeats(self, process: Process) -> None:
        for fiber in self.fibers.of(process):
            if fiber.tenant:
                fiber.tenant.allowed_bytes += IN_FLIGHT_BYTES

    # The Functions host: a batch of messages at a time, and ticks.

    def _host(self, process: Process, number: int) -> None:
        while True:
            self.fibers.wait(ready=lambda: self._ticks[number] > 0, until=self.queue.next_visible)
            if self._ticks[number]:
                self._ticks[number] -= 1
                self.fibers.spawn(process, self._tick)
                continue
            try:
                taken = self.queue.receive_messages(
                    max_messages=_HOST.batch_size, visibility_timeout=INVISIBLE_SECONDS
                )
            except AzureError:
                self.fibers.sleep(10)
                continue
            polls = [
                self.fibers.spawn(process, functools.partial(self._process, message))
                for message in taken
            ]
            self.fibers.wait(
                ready=lambda polls=polls: all(poll.done for poll in polls),  # type: ignore[misc]
                until=lambda: LATEST,
            )

    def _tick(self) -> None:
        try:
            handing_out.tick(self.connector)
        except ConnectorError as error:
            self._look_at(error)

    def _process(self, message: Any) -> None:
        taken = Taken(
            message.content,
            message.id,
            message.inserted_on,
            message.dequeue_count,
            self.monotonic(),
        )
        try:
            try:
                poll_handed_out(taken)
            except ConnectorError as error:
                self._look_at(error)
                if message.dequeue_count >= _HOST.max_dequeue_count:
                    self.poisoned.append(message.content)
                    self.queue.delete_message(message)
                else:
                    seconds = int(_HOST.visibility_seconds)
                    self.queue.update_message(message, visibility_timeout=seconds)
            else:
                self._here.tenant = None
                self.queue.delete_message(message)
        except AzureError:
            return  # the host leaves the message to be shown again

    def _look_at(self, error: ConnectorError) -> None:
        """A run that failed by storage may repeat what was in flight; no run has a bug."""
        tenant = self._here.tenant
        self._here.tenant = None
        failures = error.failures.values() if isinstance(error, RunFailed) else [error]
        for failure in failures:
            if isinstance(failure, UnexpectedError | AssertionError):
                self.violations.append(str(failure))
            if isinstance(failure, StorageError) and tenant:
                tenant.allowed_bytes += IN_FLIGHT_BYTES

    def lost_lease(self) -> None:
        """A run ended because its lease was not sure any more: it was frozen, or storage failed."""
        if self.storage_was_well and not self.world.process.freezes:
            self.violations.append("a lease was lost for nothing")
        if tenant := self._here.tenant:
            tenant.allowed_bytes += IN_FLIGHT_BYTES

    # Effects: what is slow, what is down, and what an upload may rely on.

    def _turn(self, kind: str) -> None:
        seconds = self.slow["fetch" if kind == "fetch" else "storage"]
        if kind == "upload":
            seconds = 0.0  # see upload
        if kind == "fetch" and not self._at_work().answers:
            seconds = 25.0
        self.fibers.sleep(seconds / 2)

    def _at_work(self) -> Tenant:
        tenant = self._here.tenant
        assert tenant is not None
        return tenant

    def _fault_now(self, kind: str) -> str:
        services = {kind} if kind in ("fetch", "upload") else {"storage", kind.partition(" ")[0]}
        return "unavailable" if services & self.down else ""

    def _call(self, service: str, what: str, act: Callable[[], Any]) -> Any:
        """A request to Storage; an answer that is lost has the SDK send it once more."""

        def answer(fault: str) -> Any:
            if fault == "unavailable":
                raise ServiceRequestError("storage cannot be reached")
            done = act()
            if fault == "given up":
                raise ServiceRequestError("the answer was lost")
            return act() if fault == "answer lost" else done

        return self.world.process.effect(f"{service} {what}", answer)

    def upload(self, tenant: Tenant, batch: Batch, timeout: float) -> int:
        """Upload a batch under the lease that the run believes in."""
        process = self.world.process
        freezes = process.freezes
        slow = self.slow["upload"]
        self.fibers.sleep(min(slow, max(timeout, 0.0)))

        def act(fault: str) -> int:
            holder = self.container.holder(connection_key(CONNECTOR, tenant.name))
            if holder not in self._here.leases and process.freezes == freezes:
                self.violations.append(f"an upload of {tenant.name!r} without its lease")
            if slow > timeout:
                fault = self.fibers.random.choice(["unavailable", "answer lost"])
            return self.sinks[tenant.name].take(batch, fault)

        return process.effect("upload", act)

    def open(self, _: Any, name: str = "") -> Connection | None:
        """What the product takes for ``open_connection``."""
        if name not in self.set_up:
            return None
        self.polls += 1
        tenant = self._here.tenant = self.world.tenants[name]
        source = ModelSource(
            self.world,
            tenant,
            newest_first=self.order == "newest first",
            by_listing=self.order == "listing",
        )
        return Connection(
            f"https://{name or 'unnamed'}.example", cast(Any, Client(source)), [source], name=name
        )

    def names(self, _: Any) -> SetUp:
        """What the product takes for ``set_up``."""
        return SetUp(sorted(self.set_up), {})


def undisturbed() -> Plan:
    """No faults; time passes by the fibers' waiting alone."""
    return Plan(seconds_a_page=0)


class Client:
    """A vendor's client, as far as a run asks it."""

    requests = retries = 0

    def __init__(self, source: ModelSource) -> None:
        self._source = source

    def begin(self, _: float) -> None:
        """A stream's deadline, which the model's vendor does not keep."""

    @property
    def silent(self) -> bool:
        return self._source.asked > 0 and self._source.answered == 0


class LeasedUploads:
    """A destination whose uploads go through ``Instances.upload``."""

    name = "model"

    def __init__(self, instances: Instances, tenant: Tenant) -> None:
        self._instances = instances
        self._tenant = tenant

    def declared(self, stream: str) -> None:
        """Records go out as they came."""

    def upload(self, batch: Batch, timeout: float) -> int:
        return self._instances.upload(self._tenant, batch, timeout)

    def renew_sign_in(self) -> None:
        """There is nothing to sign in to."""

    def close(self) -> None:
        """There is nothing to close."""


class _LeasesLost(logging.Handler):
    def __init__(self, instances: Instances) -> None:
        super().__init__(logging.INFO)
        self._instances = instances

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("lease_lost"):
            self._instances.lost_lease()


def install_instances(app: Instances, patch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Put the product's modules into the app's world; return what takes the log handlers off."""
    world = app.world
    warnings = install(world, patch, rows=60)
    clock = SimpleNamespace(monotonic=app.monotonic)
    for module in (stream_poll, shares, lease, handed_out):
        patch.setattr(module, "time", clock)
    patch.setattr(lease, "utc_now", world.host_clock)
    patch.setattr(lease, "threading", threading_of(app.fibers, world))
    patch.setattr(storage, "container", lambda _: app.container)
    patch.setattr(storage, "queue", lambda _: app.queue)
    patch.setattr(handed_out, "polled", lambda: [app.connector])
    for module in (handed_out, handing_out):
        patch.setattr(module, "set_up", app.names)
    for module in (handed_out, polling_run):
        patch.setattr(module, "open_connection", app.open)
        patch.setattr(module, "read_destination", lambda name="": world.tenants[name])
        patch.setattr(module, "sink_for", functools.partial(LeasedUploads, app))
        patch.setattr(module, "read_polling", lambda: POLLING)
    patch.setattr(polling_run, "rows", SimpleNamespace(post=_sent, Extras=SimpleNamespace))
    patch.setattr(handed_out, "rows", SimpleNamespace(post_misconfigured=_sent))

    def delivery(destination: Any, dead_letters: DeadLetterSink, **options: Any) -> BatchSender:
        options |= {"clock": app.monotonic, "sleep": app.fibers.sleep}
        return BatchSender(destination, dead_letters, **options)

    patch.setattr(polling_run, "BatchSender", delivery)
    lost = _LeasesLost(app)
    level = polling_run.logger.level
    polling_run.logger.setLevel(logging.INFO)
    polling_run.logger.addHandler(lost)

    def undo() -> None:
        polling_run.logger.removeHandler(lost)
        polling_run.logger.removeHandler(warnings)
        polling_run.logger.setLevel(level)

    return undo


def _sent(*_: Any, **__: Any) -> bool:
    """Health rows are not of this model."""
    return True
