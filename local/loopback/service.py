"""A service of the local world: started and closed by ``with``, however the block ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Service(ABC):
    """``with`` starts it and closes it."""

    @abstractmethod
    def start(self) -> Self:
        """Return once it listens."""

    @abstractmethod
    def close(self) -> None:
        """Return once its threads, sockets and processes are gone."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
