"""A section of a connection test: its steps, each with its duration and advice."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from shared.diagnostics.steps import FAILED, PASSED, SKIPPED, Step
from shared.errors import ADVICE, ConnectorError

logger = logging.getLogger("connectors.status")

_CONNECT_SECONDS = 10.0


class StepFailed(Exception):
    """A step failed for a known reason; ``advice`` says what to do."""

    def __init__(self, detail: str, advice: str) -> None:
        self.advice = advice
        super().__init__(detail)


class StepSkipped(Exception):
    """A step does not apply; the message says why."""


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
        """Test name resolution and TLS of ``url``, the value of ``setting``: a step each."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if not self.step("name resolution", lambda: _resolve(host, port, setting)):
            return False
        if parts.scheme != "https":
            self.skip("TLS", f"{host} is this machine itself, without TLS")
            return True
        return self.step("TLS", lambda: _handshake(host, port))


def _resolve(host: str, port: int, setting: str) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise StepFailed(
            f"{host} has no address: {error}",
            f"See that {setting} is spelt right, and that the app's network can resolve the name.",
        ) from error
    addresses = {str(entry[4][0]) for entry in found}
    return f"{host} is {', '.join(sorted(addresses)[:3])}"


def _handshake(host: str, port: int) -> str:
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or _certifi()
    try:
        context = ssl.create_default_context(cafile=bundle)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        with (
            socket.create_connection((host, port), timeout=_CONNECT_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=host) as secured,
        ):
            return f"{secured.version()}, the certificate is trusted"
    except ssl.SSLCertVerificationError as error:
        raise StepFailed(
            f"The certificate of {host} is not trusted: {error.verify_message}",
            "Behind an inspecting proxy, REQUESTS_CA_BUNDLE must name its authority's file.",
        ) from error
    except OSError as error:
        raise StepFailed(
            f"No TLS connection to {host}:{port}: {type(error).__name__}",
            "See that firewalls and network rules let the app out to it.",
        ) from error


def _certifi() -> str:
    import certifi

    return certifi.where()
