"""Connection test: from the settings to a sample row in the workspace, step by step.

A section for each connection and each destination run in parallel. A section continues after
a failed step as far as later steps do not depend on it. A test takes less than a minute, whatever
hangs.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from shared.connections.names import set_up
from shared.connections.opening import is_polled
from shared.connections.registry import polled, received
from shared.diagnostics.section import TestSection, logger
from shared.diagnostics.sink_steps import by_destination, destination_steps, storage_steps
from shared.diagnostics.steps import FAILED, TestReport
from shared.diagnostics.vendor_steps import polled_steps, received_steps
from shared.errors import SettingsError, UnexpectedError
from shared.runtime.process import on_reset
from shared.runtime.timeout import call_with_timeout
from shared.settings import key_vault
from shared.source.connector import Connector
from shared.telemetry.events import emit

ALL = "all"
DESTINATION = "destination"
SECONDS = 50.0
# One test at a time, then a pause: each test sends requests to every endpoint.
PAUSE_SECONDS = 10.0
# So many connections of a connector are tested together; any other by its name.
MOST_CONNECTIONS = 6
SectionTest = tuple[str, Callable[[TestSection], None]]
_Steps = Callable[[Connector, str, TestSection], None]
_running = threading.Lock()
_last_finished: dict[str, float] = {}
on_reset(_last_finished.clear)


class TestThrottled(Exception):
    """A test runs, or ended less than ``PAUSE_SECONDS`` ago; retry after ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"A test has only just run: try again in {seconds:.0f} s")


def choices() -> Mapping[str, str]:
    """Return what can be tested: names for ``run_test``, each with its label."""
    names = sorted({connector.name for connector in (*polled(), *received())})
    return {
        ALL: "Test all",
        **{name.lower(): name for name in names},
        DESTINATION: "Destination",
    }


def run_test(what: str, connection: str = "") -> TestReport:
    """Test ``what``, one of ``choices``; raises ``TestThrottled``.

    ``connection`` chooses the connections to test by a part of their connector's name and theirs,
    as on the status page; '' tests the first few of each connector.
    """
    if not _running.acquire(blocking=False):
        raise TestThrottled(PAUSE_SECONDS)
    try:
        left = _last_finished.get("ended", -PAUSE_SECONDS) + PAUSE_SECONDS - time.monotonic()
        if left > 0:
            raise TestThrottled(left)
        report = check_connections(what, connection)
        _last_finished["ended"] = time.monotonic()
        return report
    finally:
        _running.release()


def check_connections(what: str, connection: str = "") -> TestReport:
    """As ``run_test``, without the limit: ``make check`` calls it."""
    began = time.monotonic()
    # Test the secrets that are in the Key Vault now, not those cached.
    key_vault.refresh_secrets()
    tests = _section_tests(what, connection)
    sections = [TestSection(name, began + SECONDS) for name, _ in tests]
    with ThreadPoolExecutor(max(len(tests), 1)) as pool:
        for section, (_, run) in zip(sections, tests, strict=True):
            pool.submit(_run_section, section, run)
    steps = [step for section in sections for step in section.steps]
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


def _section_tests(what: str, connection: str) -> list[SectionTest]:
    meant = [each for each in polled() if what in (ALL, each.name.lower())]
    posting = [each for each in received() if what in (ALL, each.name.lower())]
    tests = [
        test
        for each in meant
        for test in _tests_of(each, connection, polled_steps, functools.partial(is_polled, each))
    ]
    if what != DESTINATION and not any(_chosen(each, connection) for each in (*meant, *posting)):
        tests.append((connection, _not_found))
    tests += [test for each in posting for test in _tests_of(each, connection, received_steps)]
    if what in (ALL, DESTINATION):
        everyone = {each.name: each for each in (*polled(), *received())}.values()
        tests += _destination_tests([n for each in everyone for n in _first(each, connection)])
    return tests


def _not_found(section: TestSection) -> None:
    section.close("No connection has this name", "Choose one by its name, or test all.")


def _tests_of(
    connector: Connector,
    connection: str,
    steps: _Steps,
    applies: Callable[[str], bool] = lambda _name: True,
) -> list[SectionTest]:
    """A section for each chosen connection, of the first few, to whose name it applies."""
    return [
        (f"{connector.name} {name}".rstrip(), functools.partial(steps, connector, name))
        for name in _first(connector, connection)
        if applies(name)
    ]


def _destination_tests(names: Sequence[str]) -> list[SectionTest]:
    """A section for each destination that the connections ``names`` have; storage in the first."""

    def steps(section: TestSection, sharing: Sequence[str], *, storage: bool) -> None:
        if storage:
            storage_steps(section)
        destination_steps(sharing, section)

    return [
        (
            f"Destination {sharing[0]}".rstrip(),
            functools.partial(steps, sharing=sharing, storage=place == 0),
        )
        for place, sharing in enumerate(by_destination(sorted(names) or [""]))
    ]


def _first(connector: Connector, connection: str) -> Sequence[str]:
    return _chosen(connector, connection)[:MOST_CONNECTIONS]


def _chosen(connector: Connector, connection: str) -> Sequence[str]:
    """The connection of that name, else those with the text in their name or their connector's."""
    try:
        names = set_up(connector).names or ("",)
    except SettingsError:
        names = ("",)  # its section says what is wrong
    text = connection.lower()
    alike = [name for name in names if text and name.lower() == text]
    return alike or [name for name in names if text in f"{connector.name} {name}".lower()]


def _run_section(section: TestSection, run: Callable[[TestSection], None]) -> None:
    """Run a section to its end or its deadline; keep the steps done by then."""
    try:
        call_with_timeout(max(section.left(), 0.0), lambda: run(section))
    except TimeoutError:
        section.close("The time for the test was over", "Test this part alone.")
    except Exception as error:  # noqa: BLE001  (reported as a failed step)
        # Its text could quote a secret: UnexpectedError leaves it out.
        logger.error("The connection test of %s: %s", section.name, UnexpectedError(error))
        section.close(f"{type(error).__name__}, which was not expected", "See the app's log.")
