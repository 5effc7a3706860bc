"""Whose turn it is to compute: polls take turns, and rest a moment while posts are answered.

Python runs one thread at a time. Where each of many threads with records competes for the
interpreter after each of its waits, a post waits behind all of them again and again, and the polls
only lose time: four polls with a backlog were 10 % slower so, and a post's p99 three times as long.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

# A hundred records are two milliseconds of work: polls keep two thirds of their speed meanwhile.
_REST_SECONDS = 0.001
# A stream with nothing new takes a tenth of a second, most of it in the clients of storage.
_STREAM_REST_SECONDS = 0.05


class Turns:
    """The turns of a process; ``sleep`` counts seconds."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._posts = 0

    @contextlib.contextmanager
    def take(self) -> Iterator[None]:
        """Compute for a few milliseconds as the only poll's thread; never wait for others inside.

        Rest first while a post is being answered, so that its threads get the interpreter.
        """
        with self._turn:
            if self._posts:
                self._sleep(_REST_SECONDS)
            yield

    def begin_stream(self) -> None:
        """Rest before a stream is polled while a post is being answered."""
        if self._posts:
            self._sleep(_STREAM_REST_SECONDS)

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Have polls rest between their turns until the post is answered."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._counting:
            self._posts += change


TURNS = Turns()
