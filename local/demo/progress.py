"""Progress of the demo on the terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def say(text: str) -> None:
    """Print one line at once."""
    print(text, flush=True)


@contextmanager
def progress(text: Callable[[], str]) -> Iterator[None]:
    """On a terminal, renew a line of text until the work is done."""
    if not sys.stdout.isatty():
        yield
        return
    done = threading.Event()

    def show() -> None:
        while not done.wait(0.2):
            print(f"\r\033[K{text()} …", end="", flush=True)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        print("\r\033[K", end="", flush=True)
