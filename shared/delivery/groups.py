"""Spooled messages that share an upload: those of one sink, stream and connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.delivery.batch import MAX_BATCH_BYTES, body_size
from shared.delivery.destinations import SpoolDestination
from shared.delivery.sink import Sink
from shared.delivery.spool import Message

if TYPE_CHECKING:
    from azure.storage.queue import QueueMessage as TakenMessage

# Groups of many destinations wait side by side: in all, they hold at most so many bytes.
_MOST_BYTES = 16 * MAX_BATCH_BYTES
GroupKey = tuple[Sink, str, str]


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A message as the queue shows it; ``taken`` unless the host will delete it."""

    text: bytes | str
    times: int
    taken: TakenMessage | None = None


@dataclass(frozen=True, slots=True)
class SpooledMessage:
    """A readable message and its records."""

    shown: ShownMessage
    message: Message
    records: Sequence[bytes]
    sink: Sink
    destination: SpoolDestination

    @property
    def key(self) -> GroupKey:
        """Messages of one key share an upload."""
        return self.sink, self.message.stream, self.message.connection


class UploadGroups:
    """Messages that wait for their group to fill an upload; ``failed`` after a delivery failed."""

    def __init__(self, deliver: Callable[[Sequence[SpooledMessage]], bool]) -> None:
        self.failed = False
        self._deliver = deliver
        self._groups: dict[GroupKey, list[SpooledMessage]] = {}
        self._sizes: dict[GroupKey, int] = {}

    def add(self, spooled: SpooledMessage) -> None:
        """Add a message; deliver its group first if both do not fit one upload.

        Deliver the largest group where all of them hold too many bytes.
        """
        size = body_size(spooled.records)
        if self._sizes.get(spooled.key, 0) + size > MAX_BATCH_BYTES:
            self._flush(spooled.key)
        self._groups.setdefault(spooled.key, []).append(spooled)
        self._sizes[spooled.key] = self._sizes.get(spooled.key, 0) + size
        if sum(self._sizes.values()) > _MOST_BYTES:
            self._flush(max(self._sizes, key=self._sizes.__getitem__))

    def flush(self) -> None:
        """Deliver every group."""
        for key in list(self._groups):
            self._flush(key)

    def _flush(self, key: GroupKey) -> None:
        self._sizes.pop(key, None)
        if group := self._groups.pop(key, None):
            self.failed = not self._deliver(group) or self.failed
