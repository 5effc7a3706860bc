"""Threads that take turns: each runs until it waits, and a seed decides which is next.

A process is several fibers (its polls, the renewals of their leases) that are killed and frozen
together. Time passes where no fiber can go on.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from tests.guarantees.model import Killed, Process, Tenant, World
from tests.guarantees.model_storage import EARLIEST, LATEST


def _never() -> bool:
    return False


def _no_baton() -> threading.Lock:
    """A lock that one thread waits for and another releases; a semaphore is slower."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class Fiber:
    """A thread of ``process``; ``tenant`` is polled by it now, under one of ``leases``.

    It goes on when ``ready()`` or at ``until()``, unless its process is frozen.
    """

    def __init__(self, process: Process, work: Callable[[], object]) -> None:
        self.process = process
        self.tenant: Tenant | None = None
        self.leases: set[str] = set()
        self.ready: Callable[[], bool] = _never
        self.until: Callable[[], datetime] = lambda: EARLIEST
        self.done = False
        self.error: BaseException | None = None
        self.baton = _no_baton()
        self._work = work

    def run(self) -> None:
        """The thread's own work; an error is raised again by ``Fibers``."""
        self.baton.acquire()
        try:
            if not self.process.killed:
                self._work()
        except Killed:
            self.process.killed = True
        except BaseException as error:  # noqa: BLE001  (raised again where the test runs)
            self.error = error
        self.done = True


class Fibers:
    """All fibers of a world, and its clock."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._alive: list[Fiber] = []
        self._baton = _no_baton()
        self.current: Fiber | None = None
        self.random = random.Random(0)

    def spawn(self, process: Process, work: Callable[[], object]) -> Fiber:
        """Begin a fiber; it runs when its turn comes."""
        fiber = Fiber(process, work)

        def run() -> None:
            fiber.run()
            self._baton.release()

        threading.Thread(target=run, daemon=True).start()
        self._alive.append(fiber)
        return fiber

    def wait(
        self,
        ready: Callable[[], bool] = _never,
        until: Callable[[], datetime] = lambda: EARLIEST,
    ) -> None:
        """Let others go on; called by a fiber. Raises Killed where its process was killed."""
        fiber = self.current
        assert fiber is not None
        if fiber.process.killed:
            raise Killed
        fiber.ready, fiber.until = ready, until
        self._baton.release()
        fiber.baton.acquire()
        if fiber.process.killed:
            raise Killed

    def sleep(self, seconds: float) -> None:
        """Wait so long by the world's clock."""
        moment = self._world.now + timedelta(seconds=seconds)
        self.wait(until=lambda: moment)

    def of(self, process: Process) -> list[Fiber]:
        """The fibers of a process that have not ended, or died with it."""
        return [fiber for fiber in self._alive if fiber.process is process]

    def step(self, fiber: Fiber) -> None:
        """Have ``fiber`` go on until it waits or ends; raise its error."""
        world = self._world
        before = world.process
        world.process, world.host_ahead = fiber.process, fiber.process.host_ahead
        self.current = fiber
        fiber.baton.release()
        self._baton.acquire()
        self.current = None
        world.process, world.host_ahead = before, before.host_ahead
        if fiber.done and not fiber.process.killed:
            self._alive.remove(fiber)
        if fiber.error:
            raise fiber.error

    def run(self, until: datetime, turns: int | None = None) -> int | None:
        """Let fibers go on; return how many turns they had until a process died.

        None where that moment has come, or so many turns are over.
        """
        world, count = self._world, 0
        while turns is None or count < turns:
            assert count < 200_000, "the fibers come to no end"
            able = [fiber for fiber in self._alive if self._is_able(fiber)]
            if able:
                count += 1
                fiber = self.random.choice(able)
                self.step(fiber)
                if fiber.process.killed:
                    return count
                continue
            moment = min(map(self._next, self._alive), default=LATEST)
            if moment > until:
                world.now = max(world.now, until)
                return None
            world.now = moment
        return None

    def _is_able(self, fiber: Fiber) -> bool:
        now = self._world.now
        if fiber.done:
            return False
        if fiber.process.frozen_until > now and not fiber.process.killed:
            return False
        return fiber.process.killed or fiber.until() <= now or fiber.ready()

    def _next(self, fiber: Fiber) -> datetime:
        return max(fiber.until(), fiber.process.frozen_until)

    def unwind(self, process: Process) -> None:
        """End all fibers of a killed process."""
        for fiber in self.of(process):
            while not fiber.done:
                self.step(fiber)
            self._alive.remove(fiber)

    def end(self) -> None:
        """End all that are left, so that no thread stays."""
        for fiber in self._alive:
            fiber.process.killed = True
        while self._alive:
            fiber = self._alive.pop()
            while not fiber.done:
                with contextlib.suppress(Exception):  # the first error was raised already
                    self.step(fiber)


class FiberThread:
    """What the product takes for threading.Thread."""

    def __init__(self, fibers: Fibers, target: Callable[[], object]) -> None:
        self._fibers = fibers
        self._target = target
        self._fiber: Fiber | None = None

    def start(self) -> None:
        assert self._fibers.current is not None
        self._fiber = self._fibers.spawn(self._fibers.current.process, self._target)

    def join(self) -> None:
        fiber = self._fiber
        assert fiber is not None
        if not fiber.done:
            self._fibers.wait(ready=lambda: fiber.done, until=lambda: LATEST)


class FiberEvent:
    """What the product takes for threading.Event."""

    def __init__(self, fibers: Fibers, world: World) -> None:
        self._fibers = fibers
        self._world = world
        self._set = False

    def set(self) -> None:
        self._set = True

    def wait(self, timeout: float) -> bool:
        moment = self._world.now + timedelta(seconds=timeout)
        self._fibers.wait(ready=lambda: self._set, until=lambda: moment)
        return self._set


def threading_of(fibers: Fibers, world: World) -> Any:
    """A module ``threading`` whose threads are fibers."""

    return SimpleNamespace(
        Thread=lambda target, **_: FiberThread(fibers, target),
        Event=lambda: FiberEvent(fibers, world),
    )
