"""ConnectionPoll in processes of their own: instances of the app, to be killed and frozen."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from shared.state.lease import LeaseTimes, PollLease
from tests.guarantees.runs_in_processes import processes

# A message is shown again so many seconds after its process died: in Azure minutes.
SHOWN_AGAIN = 4
# Azure's shortest lease.
SHORT = LeaseTimes(length=15, renew=5, sure=12)


def work(environment: dict[str, str], *, dies_before_lease: bool) -> None:
    """The host's queue trigger, for ever; may die between the queue and a connection's lease."""
    os.environ.update(environment)
    from local.host import queue_trigger
    from local.host.host import Host
    from shared.state import lease

    queue_trigger.INVISIBLE_SECONDS = SHOWN_AGAIN
    lease.TIMES = SHORT
    if dies_before_lease:
        lease.PollLease.acquire = _die  # type: ignore[assignment,method-assign]
    pause = threading.Event()
    with Host() as host:
        while True:
            if not host.poll("ConnectionPoll"):
                pause.wait(0.1)


def _die(_: PollLease) -> bool:
    os.kill(os.getpid(), signal.SIGKILL)
    return False


class Instance:
    """One process of the app; ``kill`` starts another in its place."""

    def __init__(self) -> None:
        self._context = processes()
        self._process: Any = None
        self.start()

    def start(self, *, dies_before_lease: bool = False) -> None:
        """Begin a process with the settings of this one."""
        self._process = self._context.Process(
            target=work,
            args=(dict(os.environ),),
            kwargs={"dies_before_lease": dies_before_lease},
            daemon=True,
        )
        self._process.start()

    def kill(self) -> None:
        """SIGKILL, at whatever it does."""
        self._process.kill()
        self._process.join()

    def freeze(self) -> None:
        """SIGSTOP."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self._process.pid, signal.SIGCONT)
