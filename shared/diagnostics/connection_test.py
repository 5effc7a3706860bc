"""Test connection: from settings to a sample row in the workspace, step by step.

Every step is tried that can still tell something; a failed one says the one thing to do. Nothing
here raises to whoever asked, and the whole takes less than a minute, whatever hangs.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from shared.connectors.registry import polled, received
from shared.diagnostics.section import TestSection, logger
from shared.diagnostics.sink_steps import destination_part
from shared.diagnostics.steps import FAILED, TestReport
from shared.diagnostics.vendor_steps import polled_part, received_part
from shared.errors import UnexpectedError
from shared.runtime.process import on_reset
from shared.runtime.timeout import call_with_timeout
from shared.settings import key_vault
from shared.telemetry.events import emit

ALL = "all"
DESTINATION = "destination"
SECONDS = 50.0
# One at a time a process, and not at once again: each test asks every endpoint.
PAUSE_SECONDS = 10.0
_running = threading.Lock()
_last_finished: dict[str, float] = {}
on_reset(_last_finished.clear)


class TooOften(Exception):
    """A test runs, or has only just run; ``seconds`` until another may."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"A test has only just run: try again in {seconds:.0f} s")


def choices() -> Mapping[str, str]:
    """Return what can be tested: names for ``run_test``, each with its label."""
    names = sorted([c.name for c in polled()] + [source.name for source in received()])
    return {
        ALL: "Test all",
        **{name.lower(): name for name in names},
        DESTINATION: "Destination",
    }


def run_test(what: str) -> TestReport:
    """Test ``what``, one of ``choices``; raises ``TooOften`` and nothing else."""
    if not _running.acquire(blocking=False):
        raise TooOften(PAUSE_SECONDS)
    try:
        left = _last_finished.get("ended", -PAUSE_SECONDS) + PAUSE_SECONDS - time.monotonic()
        if left > 0:
            raise TooOften(left)
        report = test(what)
        _last_finished["ended"] = time.monotonic()
        return report
    finally:
        _running.release()


def test(what: str) -> TestReport:
    """As ``run_test``, however often; what ``make check`` runs."""
    began = time.monotonic()
    # A secret that was changed in the Key Vault is the one to test.
    key_vault.refresh_secrets()
    works = _works(what)
    parts = [TestSection(name, began + SECONDS) for name, _ in works]
    with ThreadPoolExecutor(len(works)) as pool:
        for part, (_, work) in zip(parts, works, strict=True):
            pool.submit(_finish, part, work)
    steps = [step for part in parts for step in part.steps]
    passed = not any(step.result == FAILED for step in steps)
    seconds = time.monotonic() - began
    failed = [f"{step.part}: {step.name}" for step in steps if step.result == FAILED]
    emit(
        logger,
        "connection_test",
        Tested=what,
        Passed=passed,
        FailedSteps=failed,
        DurationSeconds=round(seconds, 3),
    )
    return TestReport(what, passed, seconds, steps)


def _works(what: str) -> list[tuple[str, Callable[[TestSection], None]]]:
    works: list[tuple[str, Callable[[TestSection], None]]] = [
        (connector.name, functools.partial(polled_part, connector)) for connector in polled()
    ]
    works += [(source.name, functools.partial(received_part, source)) for source in received()]
    works.append(("Destination", destination_part))
    return [(name, work) for name, work in works if what in (ALL, name.lower())]


def _finish(part: TestSection, work: Callable[[TestSection], None]) -> None:
    """Run a part to its end or its deadline; what it has found until then stays."""
    try:
        call_with_timeout(max(part.left(), 0.0), lambda: work(part))
    except TimeoutError:
        part.close("The time for the test was over", "Test this part alone.")
    except Exception as error:  # noqa: BLE001  (whoever tests is told of all that goes wrong)
        # Its text could quote a secret.
        logger.error("The connection test of %s: %s", part.name, UnexpectedError(error))
        part.close(f"{type(error).__name__}, which was not expected", "See the app's log.")
