"""Ctrl+C and SIGTERM: the first ends the work in order, a second one at once.

Standard library only: it is in place while the environment is installed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STATUS = 130  # as a shell reports a program that Ctrl+C ended
# Seconds to close everything after Ctrl+C; afterwards the process ends as at a second one.
GRACE = 8.0


def end_now() -> None:
    """End the process; children see their standard input close, and save and stop by themselves."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(STATUS)


class Interrupts:
    """Signals while a command runs. ``asked`` is set by the first."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.polite = False  # the command watches `asked`; no KeyboardInterrupt is raised
        self.terminated = False

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGINT or SIGTERM."""
        del frame
        if self.asked.is_set():
            end_now()
        self.asked.set()
        self.terminated = number == signal.SIGTERM
        if self.polite:
            return
        watchdog = threading.Timer(GRACE, end_now)
        watchdog.daemon = True
        watchdog.start()
        raise KeyboardInterrupt


INTERRUPTS = Interrupts()


def install() -> None:
    """Handle the signals, except where the process was started with Ctrl+C ignored."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, INTERRUPTS.on_signal)
    signal.signal(signal.SIGTERM, INTERRUPTS.on_signal)


@contextmanager
def raised_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt for an error that an interrupt has caused, as a library may."""
    try:
        yield
    except Exception:
        if INTERRUPTS.asked.is_set():
            raise KeyboardInterrupt from None
        raise


@contextmanager
def polite() -> Iterator[threading.Event]:
    """Within the block the first signal sets the event and raises nothing."""
    INTERRUPTS.polite = True
    try:
        yield INTERRUPTS.asked
    finally:
        INTERRUPTS.polite = False
