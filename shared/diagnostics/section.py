"""A section of a connection test: its steps, each with its duration and advice."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from shared.diagnostics.reach import handshake, proxy_for, resolve, resolve_by_proxy
from shared.diagnostics.steps import FAILED, PASSED, SKIPPED, Step, StepFailed, StepSkipped
from shared.errors import ADVICE, ConnectorError

logger = logging.getLogger("connectors.status")


class TestSection:
    """The steps of a connector or of the destination; ``deadline`` is a ``time.monotonic`` time."""

    def __init__(self, name: str, deadline: float) -> None:
        self.name = name
        self._deadline = deadline
        self._lock = threading.Lock()
        self._open = True
        self._steps: list[Step] = []

    @property
    def steps(self) -> list[Step]:
        """The steps done so far."""
        with self._lock:
            return list(self._steps)

    def left(self) -> float:
        """Return the seconds left until the deadline."""
        return self._deadline - time.monotonic()

    def step(self, name: str, check: Callable[[], str]) -> bool:
        """Run a step and add its result; returns False where it failed.

        ``check`` returns the detail, or raises ``StepSkipped``, ``StepFailed`` or a
        ``ConnectorError``.
        """
        began = time.monotonic()
        detail, advice, result = "", "", PASSED
        try:
            detail = check()
        except StepSkipped as reason:
            result, detail = SKIPPED, str(reason)
        except StepFailed as failure:
            result, detail, advice = FAILED, str(failure), failure.advice
        except ConnectorError as error:
            result, detail = FAILED, str(error)
            advice = ADVICE.get(type(error).__name__, "")
        self._add(Step(self.name, name, result, time.monotonic() - began, detail, advice))
        return result != FAILED

    def skip(self, name: str, why: str) -> None:
        """Add a step that does not run, with the reason."""
        self._add(Step(self.name, name, SKIPPED, 0.0, why))

    def close(self, detail: str, advice: str) -> None:
        """End the section early with a failed step; later steps are discarded."""
        with self._lock:
            self._open = False
            self._steps.append(Step(self.name, "the rest", FAILED, 0.0, detail, advice))

    def _add(self, step: Step) -> None:
        with self._lock:
            if self._open:
                self._steps.append(step)

    def reach(self, url: str, setting: str) -> bool:
        """Test name resolution and TLS of ``url``, the value of ``setting``: a step each.

        Both go the way that the app goes: with HTTPS_PROXY the proxy resolves the name.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        proxy = proxy_for(url) if parts.scheme == "https" else None

        def name() -> str:
            return resolve_by_proxy(host, proxy) if proxy else resolve(host, port, setting)

        if not self.step("name resolution", name):
            return False
        if parts.scheme != "https":
            self.skip("TLS", f"{host} is this machine itself, without TLS")
            return True
        return self.step("TLS", lambda: handshake(host, port, proxy))
