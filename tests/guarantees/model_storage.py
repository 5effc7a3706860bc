"""A blob container and a queue as Storage keeps them, in memory: leases, messages shown again.

That they answer as the real emulator does is shown in test_model_storage.py; how a lease lapses is
Storage's documentation. https://learn.microsoft.com/rest/api/storageservices/lease-blob
https://learn.microsoft.com/rest/api/storageservices/queue-service-rest-api
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count
from types import SimpleNamespace
from typing import Any

from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)

Hook = Callable[[Any], None]
# An operation passes through this; it happens where it calls its second argument.
Passage = Callable[[str, Callable[[], Any]], Any]
EARLIEST, LATEST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def _at_once(_: str, act: Callable[[], Any]) -> Any:
    return act()


@dataclass(slots=True)
class StoredBlob:
    """A blob without contents; ``lease`` is held until ``until``, and remembered after that."""

    last_modified: datetime
    metadata: dict[str, str] = field(default_factory=dict)
    lease: str = ""
    until: datetime = EARLIEST


class ModelContainer:
    """One container; ``clock`` gives its time in UTC. Each operation passes through ``on_call``.

    ``on_acquired`` is told the id of each lease that its client knows it holds.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.blobs: dict[str, StoredBlob] = {}
        self.exists = False
        self.clock = clock
        self.on_call: Passage = _at_once
        self.on_acquired: Callable[[str], None] = lambda _: None

    def holder(self, name: str) -> str:
        """The id of the lease that holds a blob now; '' where none does."""
        blob = self.blobs.get(name)
        return blob.lease if blob and blob.lease and blob.until > self.clock() else ""

    def tell_time(self, hook: Hook | None) -> None:
        """Give ``hook`` an answer with Storage's time, which is in whole seconds."""
        if hook:
            headers = {"Date": format_datetime(self.clock().replace(microsecond=0), usegmt=True)}
            hook(SimpleNamespace(http_response=SimpleNamespace(headers=headers)))

    def create_container(self) -> None:
        def create() -> None:
            if self.exists:
                raise _error(ResourceExistsError, 409)
            self.exists = True

        self.on_call("create", create)

    def get_blob_client(self, name: str) -> ModelBlob:
        return ModelBlob(self, name)

    def list_blobs(
        self, *, include: list[str], raw_response_hook: Hook | None = None
    ) -> Iterator[Any]:
        assert include == ["metadata"]

        def found() -> list[Any]:
            if not self.exists:
                raise _error(ResourceNotFoundError, 404)
            self.tell_time(raw_response_hook)
            return [
                SimpleNamespace(
                    name=name,
                    metadata=dict(blob.metadata),
                    last_modified=blob.last_modified.replace(microsecond=0),
                    lease=SimpleNamespace(status="locked" if self.holder(name) else "unlocked"),
                )
                for name, blob in sorted(self.blobs.items())
            ]

        blobs: list[Any] = self.on_call("list", found)
        return iter(blobs)


class ModelBlob:
    """A client of one blob, and of the lease that it acquired last."""

    def __init__(self, container: ModelContainer, name: str) -> None:
        self._container = container
        self.blob_name = name
        self._lease = ""

    def _stored(self) -> StoredBlob:
        if self.blob_name not in self._container.blobs:
            raise _error(ResourceNotFoundError, 404)
        return self._container.blobs[self.blob_name]

    def acquire_lease(
        self, length: int, *, lease_id: str, raw_response_hook: Hook | None = None
    ) -> ModelBlob:
        def acquire() -> None:
            blob = self._stored()
            if self._container.holder(self.blob_name) not in ("", lease_id):
                raise _error(ResourceExistsError, 409)
            blob.lease = lease_id
            blob.until = self._container.clock() + timedelta(seconds=length)
            self._container.tell_time(raw_response_hook)

        self._lease, self._length = lease_id, length
        self._container.on_call("acquire", acquire)
        self._container.on_acquired(lease_id)
        return self

    def renew(self, **_: Any) -> None:
        """A lapsed lease is renewed too, unless the blob was leased or modified since."""

        def renew() -> None:
            blob = self._stored()
            if blob.lease != self._lease:
                raise _error(ResourceExistsError, 409)
            blob.until = self._container.clock() + timedelta(seconds=self._length)

        self._container.on_call("renew", renew)

    def release(self) -> None:
        def release() -> None:
            blob = self._stored()
            if blob.lease != self._lease:
                raise _error(ResourceExistsError, 409)
            blob.lease = ""

        self._container.on_call("release", release)

    def get_blob_properties(self) -> Any:
        def read() -> Any:
            blob = self._stored()
            modified = blob.last_modified.replace(microsecond=0)
            return SimpleNamespace(metadata=dict(blob.metadata), last_modified=modified)

        return self._container.on_call("read", read)

    def set_blob_metadata(self, metadata: Mapping[str, str], *, lease: str | None = None) -> None:
        def write() -> None:
            blob = self._stored()
            if self._container.holder(self.blob_name) != (lease or ""):
                raise _error(ResourceModifiedError if lease is None else HttpResponseError, 412)
            blob.metadata, blob.last_modified = dict(metadata), self._container.clock()

        self._container.on_call("write", write)

    def upload_blob(self, data: bytes, *, overwrite: bool) -> None:
        assert data == b""
        assert not overwrite

        def create() -> None:
            if not self._container.exists:
                raise _error(ResourceNotFoundError, 404)
            if self.blob_name in self._container.blobs:
                raise _error(ResourceExistsError, 409)
            self._container.blobs[self.blob_name] = StoredBlob(self._container.clock())

        self._container.on_call("create", create)

    def delete_blob(self) -> None:
        def delete() -> None:
            self._stored()
            del self._container.blobs[self.blob_name]

        self._container.on_call("delete", delete)


def _error(kind: type[HttpResponseError], status: int) -> HttpResponseError:
    error = kind(f"HTTP {status}")
    error.status_code = status
    return error


@dataclass(slots=True)
class StoredMessage:
    """A message; its times are Storage's, those that it tells in whole seconds."""

    id: str
    content: str
    inserted_on: datetime
    expires: datetime
    visible: datetime
    dequeue_count: int = 0
    pop_receipt: str = ""


class ModelQueue:
    """One queue, whose time is ``clock``'s. Each operation passes through ``on_call``."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.messages: list[StoredMessage] = []
        self.exists = False
        self.clock = clock
        self.on_call: Passage = _at_once
        self._ids = count(1)

    def create_queue(self) -> None:
        def create() -> None:
            if self.exists:
                raise _error(ResourceExistsError, 204)
            self.exists = True

        self.on_call("create", create)

    def send_message(self, text: str, *, time_to_live: int) -> None:
        def send() -> None:
            if not self.exists:
                raise _error(ResourceNotFoundError, 404)
            now = self.clock()
            expires = now + timedelta(seconds=time_to_live)
            inserted = now.replace(microsecond=0)
            self.messages.append(
                StoredMessage(f"message {next(self._ids)}", text, inserted, expires, now)
            )

        self.on_call("put", send)

    def receive_messages(self, *, max_messages: int, visibility_timeout: int) -> list[Any]:
        """Take what is visible, oldest first; a receipt is good until the next one is made."""

        def take() -> list[Any]:
            if not self.exists:
                raise _error(ResourceNotFoundError, 404)
            now = self.clock()
            found = [message for message in self.alive() if message.visible <= now][:max_messages]
            for message in found:
                message.visible = now + timedelta(seconds=visibility_timeout)
                message.dequeue_count += 1
                message.pop_receipt = f"receipt {next(self._ids)}"
            return [
                SimpleNamespace(
                    id=message.id,
                    content=message.content,
                    inserted_on=message.inserted_on,
                    dequeue_count=message.dequeue_count,
                    pop_receipt=message.pop_receipt,
                )
                for message in found
            ]

        taken: list[Any] = self.on_call("take", take)
        return taken

    def delete_message(self, message: Any) -> None:
        self.on_call("delete", lambda: self.messages.remove(self._of(message)))

    def update_message(self, message: Any, *, visibility_timeout: int) -> None:
        def show() -> None:
            stored = self._of(message)
            stored.visible = self.clock() + timedelta(seconds=visibility_timeout)
            stored.pop_receipt = message.pop_receipt = f"receipt {next(self._ids)}"

        self.on_call("show", show)

    def show_all(self) -> None:
        """Show also what is worked on."""
        for message in self.alive():
            message.visible = min(message.visible, self.clock())

    def alive(self) -> list[StoredMessage]:
        """The messages whose time to live is not over; the others are gone."""
        now = self.clock()
        self.messages[:] = [message for message in self.messages if message.expires > now]
        return self.messages

    def next_visible(self) -> datetime:
        """When a message is visible next, in the past where one is."""
        return min((message.visible for message in self.alive()), default=LATEST)

    def _of(self, message: Any) -> StoredMessage:
        for stored in self.alive():
            if stored.id == message.id:
                if stored.pop_receipt != message.pop_receipt:
                    raise _error(HttpResponseError, 400)
                return stored
        raise _error(ResourceNotFoundError, 404)
