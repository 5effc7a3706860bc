"""DeliveryRetry in processes of their own, to be killed."""

from __future__ import annotations

import gzip
import os
import signal
import threading
from typing import Any

from shared.delivery.spool import Message, Spool
from tests.guarantees.runs_in_processes import processes

# A message is shown again so many seconds after its process died: in Azure minutes.
SHOWN_AGAIN = 5


def work_off(environment: dict[str, str]) -> None:
    """The host's queue trigger, until the spool is empty; dies of events marked as deadly."""
    os.environ.update(environment)
    from local.host import queue_trigger
    from local.host.host import Host
    from shared.delivery import spool

    queue_trigger.INVISIBLE_SECONDS = SHOWN_AGAIN
    spool._TAKEN_SECONDS = SHOWN_AGAIN
    records = Spool.records

    def deadly(self: Spool, message: Message) -> list[bytes]:
        if b"deadly" in gzip.decompress(message.gzip or b""):
            os.kill(os.getpid(), signal.SIGKILL)
        return records(self, message)

    Spool.records = deadly  # type: ignore[method-assign]
    pause = threading.Event()
    with Host() as host:
        while Spool().depth():
            if not host.poll("DeliveryRetry"):
                pause.wait(0.1)


class Worker:
    """A process that works the spool off; it is started again when it has died."""

    def __init__(self, settings: dict[str, str]) -> None:
        names = ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "REQUESTS_CA_BUNDLE")
        self._environment = {**settings, **{name: os.environ[name] for name in names}}
        self._context = processes()
        self._process: Any = None
        self.deaths = 0

    def run_to_end(self) -> None:
        """Return once the spool is empty, however often the process dies."""
        for _ in range(40):
            self._process = self._context.Process(target=work_off, args=(self._environment,))
            self._process.start()
            self._process.join(120)
            assert self._process.exitcode is not None, "the spool does not become empty"
            if not self._process.exitcode:
                return
            self.deaths += 1
        raise AssertionError("the process dies for ever")

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
