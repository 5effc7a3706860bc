"""Progress of the demo on the terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


def say(text: str) -> None:
    """Print one line at once."""
    print(text, flush=True)


def counted(count: int, noun: str) -> str:
    """1 record, 2,506 records."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """A, B and C."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


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
