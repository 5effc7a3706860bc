"""Timers and the webhook in processes of their own, to be killed at chosen requests."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

from local.loopback.faults import Fault, answer, first

_PRELOADED = [
    "azure.data.tables",
    "azure.functions",
    "azure.identity",
    "azure.monitor.ingestion",
    "azure.storage.queue",
    "local.host.host",
    "shared.connectors.sentinelone",
    "shared.delivery.logs_ingestion",
    "shared.webhook.receiver",
    "tests.guarantees.runs_in_processes",
]


def poll_sentinelone(environment: dict[str, str]) -> None:
    """Do as the timer's function does, in a process with nothing but its settings."""
    os.environ.update(environment)
    from shared.connectors.sentinelone import CONNECTOR
    from shared.polling.run import poll

    poll(CONNECTOR)


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


def begin(context: Any, settings: dict[str, str]) -> ForkServerProcess:
    names = ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "REQUESTS_CA_BUNDLE", "SentinelOneStreams")
    environment = {**settings, **{name: os.environ[name] for name in names}}
    process: ForkServerProcess = context.Process(target=poll_sentinelone, args=(environment,))
    process.start()
    return process


def run_to_end(context: Any, settings: dict[str, str]) -> int:
    """Run once without a fault; return the exit code."""
    process = begin(context, settings)
    process.join(60)
    return process.exitcode if process.exitcode is not None else -1


@contextmanager
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
