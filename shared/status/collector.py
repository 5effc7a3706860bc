"""Run reads with a timeout, and keep what failed as problems of the page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from shared.errors import ADVICE, ConnectorError, SettingsError
from shared.runtime.timeout import call_with_timeout
from shared.status.model import Assessment
from shared.telemetry.run import RunState

# Timeout of one read.
SECONDS = 15.0
Result = TypeVar("Result")


class Collector:
    """Run reads with a timeout; collect the failures as problems, one for each cause."""

    def __init__(self) -> None:
        self.problems: dict[str, Assessment] = {}
        self._lock = threading.Lock()

    def get(self, read: Callable[[], Result], default: Result) -> Result:
        """Return ``read()``, or ``default`` after adding the failure to ``problems``."""
        try:
            return call_with_timeout(SECONDS, read)
        except (ConnectorError, TimeoutError) as error:
            kind = "StorageUnavailable" if isinstance(error, TimeoutError) else type(error).__name__
            text = str(error) or f"Storage or the Key Vault did not answer within {SECONDS:.0f} s"
            # Report a cause once, however many reads it fails; of settings, once for each name.
            cause = text.split(maxsplit=1)[0] if isinstance(error, SettingsError) else kind
            with self._lock:
                self.problems.setdefault(
                    cause, Assessment(RunState.FAILING, text, ADVICE.get(kind, ""))
                )
            return default
