"""A DuckDB file that several processes use in turn.

DuckDB gives a file to one process at a time. Release it shortly after each use, and wait while
another process has it, so that a person can query a workspace that a running host is filling.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

# Seconds. Opening the file takes some milliseconds, a batch or a query up to a second or two.
_WAIT = 20.0
_RELEASE_AFTER = 0.5


class WorkspaceBusyError(Exception):
    """Another process keeps the workspace's file."""


class WorkspaceFile:
    """A connection that one thread uses at a time; ``path`` None is a database in memory."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._release: threading.Timer | None = None

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The connection, for as long as the block lasts. Raises ``WorkspaceBusyError``."""
        with self._lock:
            self._cancel_release()
            if self._connection is None:
                self._connection = self._connect()
            try:
                yield self._connection
            finally:
                if self._path:
                    # A weak reference: a waiting timer must not keep the database alive at exit.
                    self._release = threading.Timer(
                        _RELEASE_AFTER, _release_unused, [weakref.ref(self)]
                    )
                    self._release.daemon = True
                    self._release.start()

    def close(self) -> None:
        """Release the file now; a database in memory is gone."""
        with self._lock:
            self._cancel_release()
            if self._connection:
                self._connection.close()
            self._connection = None

    def _connect(self) -> duckdb.DuckDBPyConnection:
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        give_up = time.monotonic() + _WAIT
        while True:
            try:
                connection = duckdb.connect(str(self._path or ":memory:"))
                break
            except duckdb.IOException as error:
                if "lock" not in str(error) or time.monotonic() > give_up:
                    raise WorkspaceBusyError(f"{self._path} cannot be opened: {error}") from error
                time.sleep(0.05)
        # KQL's times are UTC. DuckDB's wheel has every extension needed: download none.
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET autoinstall_known_extensions = false")
        return connection

    def release(self, timer: threading.Thread) -> None:
        """Release the file, unless it was used since ``timer`` was started."""
        with self._lock:
            if self._release is timer:
                self.close()

    def _cancel_release(self) -> None:
        if self._release:
            self._release.cancel()
            self._release = None


def _release_unused(file: weakref.ref[WorkspaceFile]) -> None:
    if found := file():
        found.release(threading.current_thread())
