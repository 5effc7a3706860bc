"""What every local server is: a thing that is started, and closed however the block ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Running(ABC):
    """``with`` starts it and closes it."""

    @abstractmethod
    def start(self) -> Self:
        """Returns when it listens."""

    @abstractmethod
    def close(self) -> None:
        """Returns when nothing of it is left."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
