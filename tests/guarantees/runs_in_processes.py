"""Timers and the webhook in processes of their own, to be killed at chosen requests."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.loopback.faults import Fault, answer, first
from shared.state.lease import CONTAINER, TIMES, LeaseTimes, read_leases

if TYPE_CHECKING:
    from shared.delivery.batch import Batch

_PRELOADED = [
    "azure.data.tables",
    "azure.functions",
    "azure.identity",
    "azure.monitor.ingestion",
    "azure.storage.queue",
    "local.host.host",
    "shared.connectors.onelogin",
    "shared.connectors.sentinelone",
    "shared.delivery.logs_ingestion",
    "shared.webhook.receiver",
    "tests.guarantees.runs_in_processes",
]


@dataclass(frozen=True, slots=True)
class Host:
    """What is odd about the host of a run.

    Its clock is wrong by ``clock``; it freezes (SIGSTOP) where its first upload was allowed and is
    not sent yet; its lease has other ``times``.
    """

    clock: timedelta = timedelta()
    freezes: bool = False
    times: LeaseTimes = TIMES


USUAL = Host()


def poll_connector(environment: dict[str, str], host: Host, connector: str) -> None:
    """Do as the timer's function does, in a process with nothing but its settings."""
    os.environ.update(environment)
    from shared.polling.run import poll
    from shared.state import lease

    lease.TIMES = host.times
    if host.clock:
        _set_wrong(host.clock)
    if host.freezes:
        _freeze_before_the_first_upload()
    poll(importlib.import_module(f"shared.connectors.{connector}").CONNECTOR)


def _set_wrong(by: timedelta) -> None:
    """Shift the clock of every module of the app that reads it."""
    from shared.records import timestamps

    right = timestamps.utc_now

    def wrong() -> datetime:
        return right() + by

    for name, module in list(sys.modules.items()):
        if name.startswith("shared") and hasattr(module, "utc_now"):
            module.utc_now = wrong  # type: ignore[attr-defined]


def _freeze_before_the_first_upload() -> None:
    from shared.delivery.logs_ingestion import LogsIngestion

    upload = LogsIngestion.upload
    frozen = threading.Event()

    def freezing(sink: LogsIngestion, batch: Batch, timeout: float) -> int:
        if not frozen.is_set():
            frozen.set()
            os.kill(os.getpid(), signal.SIGSTOP)
        return upload(sink, batch, timeout)

    LogsIngestion.upload = freezing  # type: ignore[assignment,method-assign]


def is_frozen(process: ForkServerProcess) -> bool:
    """Whether SIGSTOP has stopped it."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return "State:\tT" in status


def serve_webhook(environment: dict[str, str], telling: Connection) -> None:
    """The app's HTTP functions, until killed or orphaned; tells where they listen."""
    os.environ.update(environment)
    from local.host.host import Host

    with Host() as host:
        telling.send(host.url("OneLoginWebhook"))
        if parent := multiprocessing.parent_process():
            parent.join()


def processes() -> Any:
    """Real processes, forked within milliseconds from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def begin(
    context: Any, settings: dict[str, str], host: Host = USUAL, connector: str = "sentinelone"
) -> ForkServerProcess:
    names = ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "REQUESTS_CA_BUNDLE", "SentinelOneStreams")
    environment = {**settings, **{name: os.environ[name] for name in names}}
    arguments = (environment, host, connector)
    process: ForkServerProcess = context.Process(target=poll_connector, args=arguments)
    process.start()
    return process


def let_leases_lapse() -> None:
    """Let the minute pass for which a killed run still holds its connection."""
    from azure.core.exceptions import AzureError
    from azure.storage.blob import BlobLeaseClient

    from shared.azure import storage

    container = storage.container(CONTAINER)
    for name in read_leases().held:
        with contextlib.suppress(AzureError):  # it lapsed by itself meanwhile
            BlobLeaseClient(container.get_blob_client(name)).break_lease(0)


def run_to_end(
    context: Any, settings: dict[str, str], host: Host = USUAL, connector: str = "sentinelone"
) -> int:
    """Run once without a fault; return the exit code."""
    process = begin(context, settings, host, connector)
    process.join(60)
    return process.exitcode if process.exitcode is not None else -1


@contextlib.contextmanager
def killed_at(number: int, kill: Callable[[], None]) -> Iterator[Callable[[str], Fault]]:
    """A maker of faults that kill at the ``number``-th request they are asked about.

    ``before``: the process dies and what it asked is not done; ``after``: it is done, and the
    process dies without the answer.
    """
    asked = iter(range(1, 1_000_000))

    def is_the_one(_: Any) -> bool:
        return next(asked) == number

    def dies(request: Any) -> bool:
        if is_the_one(request):
            kill()
            return True
        return False

    yield lambda when: answer(503).only(dies) if when == "before" else first(kill).only(is_the_one)
