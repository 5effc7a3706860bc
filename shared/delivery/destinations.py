"""What this process knows of the spool's destinations: whether each one answers, and its rule."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from shared.delivery.refusals import RefusalTally
from shared.runtime.circuit_breaker import CircuitBreaker
from shared.runtime.process import on_reset


@dataclass(frozen=True, slots=True)
class SpoolDestination:
    """One sink and stream: the circuit breaker and the tally of its refused records."""

    circuit: CircuitBreaker
    tally: RefusalTally


_known: dict[tuple[object, str], SpoolDestination] = {}
_lock = threading.Lock()


def spool_destination(
    sink: object, stream: str, clock: Callable[[], float] = time.monotonic
) -> SpoolDestination:
    """Return what is known of ``sink`` and ``stream``, kept for the process.

    ``sink`` is a ``Sink``, or a connection's name where the settings select none.
    """
    with _lock:
        known = _known.get((sink, stream))
        if known is None:
            known = _known[sink, stream] = SpoolDestination(CircuitBreaker(clock), RefusalTally())
        return known


@on_reset
def forget_destinations() -> None:
    """Drop what is known, for settings that have changed."""
    with _lock:
        _known.clear()
