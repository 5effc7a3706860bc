"""The container and the queue that the model uses answer as the storage emulator does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from azure.core.exceptions import AzureError, HttpResponseError

from shared.azure import storage
from tests.guarantees.model_storage import EARLIEST, ModelContainer, ModelQueue


def now() -> datetime:
    return datetime.now(UTC)


class Asking:
    """What a client answered to each operation: 'done', or its error."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def ask(self, operation: Callable[..., Any], *values: Any, **options: Any) -> Any:
        try:
            answer = operation(*values, **options)
        except AzureError as error:
            status = error.status_code if isinstance(error, HttpResponseError) else None
            self.said.append((status, status in (204, 404, 409) and type(error).__name__))
            return None
        self.said.append("done")
        return answer


def leases(container: Any, lapse: Callable[[Any], object]) -> list[Any]:
    """A container's response to each operation of a lease, and of a pause.

    ``lapse`` has a lease end that its client still believes in.
    """
    asking = Asking()
    ask, told = asking.ask, []
    first, second = (container.get_blob_client("a/b") for _ in range(2))
    ids = [f"{number}" * 8 + "-1111-1111-1111-" + "1" * 12 for number in (1, 2)]
    options = {"raw_response_hook": lambda answer: told.append(answer.http_response.headers)}

    def listed() -> None:
        found = ask(lambda: list(container.list_blobs(include=["metadata"], **options)))
        for blob in found or []:
            asking.said.append((blob.name, blob.lease.status, dict(blob.metadata or {})))
            assert abs((now() - blob.last_modified).total_seconds()) < 30

    listed()
    ask(first.acquire_lease, 15, lease_id=ids[0], **options)
    ask(first.upload_blob, b"", overwrite=False)
    ask(container.create_container)
    ask(container.create_container)
    ask(first.get_blob_properties)
    ask(first.delete_blob)
    ask(first.acquire_lease, 15, lease_id=ids[0], **options)
    ask(first.upload_blob, b"", overwrite=False)
    ask(first.upload_blob, b"", overwrite=False)
    listed()
    ours = ask(first.acquire_lease, 15, lease_id=ids[0], **options)
    ask(second.acquire_lease, 15, lease_id=ids[1], **options)
    ours = ask(first.acquire_lease, 15, lease_id=ids[0], **options)
    ask(first.set_blob_metadata, {"began": "x"}, lease=ids[0])
    ask(second.set_blob_metadata, {"began": "y"}, lease=ids[1])
    ask(second.set_blob_metadata, {"began": "y"})
    listed()
    ask(ours.renew)
    lapse(ours)
    ask(first.set_blob_metadata, {"began": "z"}, lease=ids[0])
    theirs = ask(second.acquire_lease, 15, lease_id=ids[1], **options)
    ask(ours.renew)
    ask(ours.release)
    ask(first.set_blob_metadata, {"began": "z"}, lease=ids[0])
    asking.said.append(ask(first.get_blob_properties).metadata)
    ask(theirs.release)
    ask(second.delete_blob)
    ask(first.delete_blob)
    listed()
    for headers in told:
        assert abs((now() - parsedate_to_datetime(headers["Date"])).total_seconds()) < 30
    return asking.said


def messages(queue: Any) -> list[Any]:
    """A queue's response to each operation of a tick and of the Functions host."""
    asking = Asking()
    ask = asking.ask

    def take(visibility: int) -> list[Any]:
        taken = ask(
            lambda: list(queue.receive_messages(max_messages=2, visibility_timeout=visibility))
        )
        for message in taken or []:
            asking.said.append((message.content, message.dequeue_count))
            assert message.inserted_on.microsecond == 0
        return list(taken or [])

    ask(queue.send_message, "a", time_to_live=3600)
    take(600)
    ask(queue.create_queue)
    ask(queue.create_queue)
    for text in "abc":
        ask(queue.send_message, text, time_to_live=3600)
    first, second = take(600)
    (third,) = take(600)
    ask(queue.delete_message, second)
    ask(queue.delete_message, second)
    ask(queue.update_message, first, visibility_timeout=0)
    (again,) = take(600)
    ask(queue.delete_message, first)
    ask(queue.delete_message, again)
    ask(queue.update_message, third, visibility_timeout=60)
    take(600)
    return asking.said


@pytest.mark.usefixtures("storage")
def test_the_models_container_answers_as_the_emulator_does() -> None:
    """Without this, the model would prove something about leases that do not exist."""
    model = ModelContainer(now)

    def lapse(_: Any) -> None:
        model.blobs["a/b"].until = EARLIEST

    def broken(lease: Any) -> None:
        lease.break_lease(0)

    assert leases(model, lapse) == leases(storage.container("model-leases"), broken)


@pytest.mark.usefixtures("storage")
def test_the_models_queue_answers_as_the_emulator_does() -> None:
    """As above, of messages."""
    assert messages(ModelQueue(now)) == messages(storage.queue("model-polls"))
