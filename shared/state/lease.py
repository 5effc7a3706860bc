"""A connection's lease: a blob of the container ``leases``, so that one run at a time polls it.

Storage's clock alone decides who holds it: hosts' clocks do not matter, and a host that was frozen
or cut off loses it. The blob's metadata say when the last poll began and ended, with what outcome,
and when the next is due. https://learn.microsoft.com/rest/api/storageservices/lease-blob
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from shared.azure import storage
from shared.azure.storage import storage_errors
from shared.errors import LeaseLost, StorageError
from shared.records.timestamps import isoformat, parse_time, utc_now
from shared.state.keys import connection_key

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobLeaseClient

CONTAINER = "leases"
# Beginning of the name of a blob that pauses a connection; see shared.state.pause.
PAUSED = "paused/"

logger = logging.getLogger("connectors.leases")


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How long a lease lasts, how often it is renewed, how long it must be sure for an upload.

    In seconds. ``retry`` is the pause after a renewal without an answer.
    """

    length: int = 60
    renew: float = 20.0
    sure: float = 30.0
    retry: float = 2.0


TIMES = LeaseTimes()
# A renewal that takes longer is given up and tried again.
_RENEWAL: Mapping[str, Any] = {"retry_total": 0, "connection_timeout": 3, "read_timeout": 5}


@dataclass(frozen=True, slots=True)
class LastPoll:
    """The last poll of a connection, as its lease's metadata tell; times by Storage's clock.

    ``outcome`` is a ``RunState``, '' while the poll runs or where it was killed. ``due`` is when a
    connection that is put off is polled next, None where it is at the next tick. ``silent`` counts
    the last polls in a row that the vendor did not answer at all, ``unended`` those that began and
    never ended. ``message`` is the id of the queue's message that the poll was handed out by.
    """

    began: datetime | None = None
    ended: datetime | None = None
    outcome: str = ""
    due: datetime | None = None
    silent: int = 0
    unended: int = 0
    message: str = ""

    @classmethod
    def parse(cls, metadata: Mapping[str, str] | None) -> LastPoll:
        """Read a blob's metadata; what is missing or malformed reads as absent."""
        found = metadata or {}
        return cls(
            began=parse_time(found.get("began")),
            ended=parse_time(found.get("ended")),
            outcome=found.get("outcome", ""),
            due=parse_time(found.get("due")),
            silent=_count(found.get("silent")),
            unended=_count(found.get("unended")),
            message=found.get("message", ""),
        )

    def metadata(self) -> dict[str, str]:
        """The same as a blob's metadata; what is absent has no entry."""
        times = {"began": self.began, "ended": self.ended, "due": self.due}
        counts = {"silent": self.silent, "unended": self.unended}
        return {
            **{name: isoformat(moment) for name, moment in times.items() if moment},
            **{name: str(count) for name, count in counts.items() if count},
            **{n: text for n in ("outcome", "message") if (text := str(getattr(self, n)))},
        }


class PollLease:
    """A lease that this process holds, renewed in the background until ``release``.

    ``last`` is the poll before this one. Thread-safe.
    """

    def __init__(self, blob: BlobClient, times: LeaseTimes = TIMES) -> None:
        self._blob = blob
        self._times = times
        # Proposed by this side, so that an acquire whose answer was lost can be sent again.
        self._id = str(uuid.uuid4())
        self._lease: BlobLeaseClient | None = None
        self._sure_until = 0.0
        self._clock = (utc_now(), time.monotonic())
        self._released = threading.Event()
        self._renewing: threading.Thread | None = None
        self.last = LastPoll()
        self._current = LastPoll()

    def acquire(self) -> bool:
        """Take the lease and read the last poll; False where another run holds it.

        Raises StorageUnavailable.
        """
        from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

        with storage_errors(f"Leasing {self._blob.blob_name} in the blob container {CONTAINER}"):
            try:
                try:
                    self._take()
                except ResourceNotFoundError:
                    _create(self._blob)
                    self._take()
            except ResourceExistsError:
                return False
            self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
            self._renewing.start()
            try:
                found = self._blob.get_blob_properties()
            except BaseException:
                self.release()
                raise
        self.last = LastPoll.parse(found.metadata)
        return True

    def _take(self) -> None:
        asked = time.monotonic()
        self._lease = self._blob.acquire_lease(
            self._times.length, lease_id=self._id, raw_response_hook=self._read_clock
        )
        # Count from before the request: Storage counts from when it took it.
        self._sure_until = asked + self._times.length

    def _read_clock(self, response: Any) -> None:
        """Take Storage's time from an answer's ``Date``, in whole seconds."""
        if date := response.http_response.headers.get("Date"):
            self._clock = (parsedate_to_datetime(date), time.monotonic())

    def now(self) -> datetime:
        """The time by Storage's clock in whole seconds, whatever this host's says."""
        told, at = self._clock
        return (told + timedelta(seconds=time.monotonic() - at)).replace(microsecond=0)

    def sure_for(self) -> float:
        """For how many seconds more no other run can hold the lease; 0 once it is lost."""
        return max(self._sure_until - time.monotonic(), 0.0)

    def check(self) -> None:
        """Raise LeaseLost where the lease is lost."""
        if not self.sure_for():
            raise self._lost()

    def seconds_for_upload(self) -> float:
        """How long an upload that begins now may last; raises LeaseLost where that is too short."""
        left = self.sure_for()
        if left < self._times.sure:
            raise self._lost()
        return left

    def _lost(self) -> LeaseLost:
        return LeaseLost(
            f"The lease of {self._blob.blob_name} is no longer sure, so this run ends; nothing is "
            "lost, and the next run goes on from its checkpoint"
        )

    def begin(self, message: str = "") -> None:
        """Write down that a poll begins; raises StorageUnavailable, and LeaseLost.

        A poll that began before and did not end was killed: ``unended`` counts it.
        """
        last = self.last
        killed = last.began is not None and last.ended is None
        self._current = LastPoll(
            began=self.now(),
            silent=last.silent,
            unended=last.unended + 1 if killed else 0,
            message=message,
        )
        self._write()

    @property
    def unended(self) -> int:
        """How many polls before this one began and never ended, in a row."""
        return self._current.unended

    def end(self, outcome: str, *, silent: bool = False, put_off: bool = False) -> None:
        """Write down how the poll ended; leave it be where Storage fails or the lease is lost.

        ``silent``: the vendor did not answer at all; ``put_off`` then puts off the next poll.
        """
        count = self._current.silent + 1 if silent else 0
        now = self.now()
        self._current = replace(
            self._current,
            ended=now,
            outcome=outcome,
            silent=count,
            unended=0,
            due=now + put_off_by(count) if put_off and count > 1 else None,
        )
        try:
            self._write()
        except StorageError as error:
            logger.info("The end of a poll was not written down: %s", error)

    def _write(self) -> None:
        from azure.core.exceptions import HttpResponseError

        with storage_errors(f"Writing to {self._blob.blob_name} in the blob container {CONTAINER}"):
            try:
                self._blob.set_blob_metadata(self._current.metadata(), lease=self._id)
            except HttpResponseError as error:
                if error.status_code not in (404, 409, 412):
                    raise
                self._sure_until = 0.0
                raise self._lost() from error

    def release(self) -> None:
        """Stop the renewals and give the lease back; it lapses by itself where Storage fails."""
        from azure.core.exceptions import AzureError

        self._released.set()
        if self._renewing is not None:
            self._renewing.join()
        mine = self.sure_for() > 0
        self._sure_until = 0.0
        try:
            if mine and self._lease is not None:
                self._lease.release()
        except AzureError as error:
            logger.info(
                "The lease of %s was not given back, and lapses within a minute: %s",
                self._blob.blob_name,
                type(error).__name__,
            )

    def _renew(self) -> None:
        """Renew until released; stop for good once the lease is no longer sure."""
        pause = self._times.renew
        while not self._released.wait(pause):
            if not self.sure_for():
                return
            pause = self._times.renew if self._renewed() else self._times.retry

    def _renewed(self) -> bool:
        from azure.core.exceptions import AzureError

        asked = time.monotonic()
        try:
            if self._lease is not None:
                self._lease.renew(**_RENEWAL)
        except AzureError as error:
            if getattr(error, "status_code", None) in (404, 409, 412):
                self._sure_until = 0.0
            logger.info(
                "The lease of %s was not renewed: %s", self._blob.blob_name, type(error).__name__
            )
            return False
        if self.sure_for():  # one that lapsed while this was asked stays lost
            self._sure_until = asked + self._times.length
        return True


@contextlib.contextmanager
def held_lease(
    connector: str, connection: str = "", times: LeaseTimes | None = None
) -> Iterator[PollLease | None]:
    """Hold the connection's lease within the block; None where another run holds it.

    Raises StorageUnavailable.
    """
    blob = storage.container(CONTAINER).get_blob_client(connection_key(connector, connection))
    lease = PollLease(blob, times or TIMES)
    if not lease.acquire():
        yield None
        return
    try:
        yield lease
    finally:
        lease.release()


@dataclass(frozen=True, slots=True)
class Leases:
    """All leases by their blobs' names, and Storage's time when they were listed.

    ``paused`` says since when connections are paused, by their leases' names.
    """

    now: datetime
    polls: Mapping[str, LastPoll]
    held: frozenset[str]
    paused: Mapping[str, datetime]


def read_leases() -> Leases:
    """List the leases in one request (5,000 an answer); raises StorageUnavailable."""
    from azure.core.exceptions import ResourceNotFoundError

    times: list[datetime] = []

    def read_clock(response: Any) -> None:
        if date := response.http_response.headers.get("Date"):
            times.append(parsedate_to_datetime(date))

    with storage_errors(f"Listing the blob container {CONTAINER}"):
        try:
            blobs = list(
                storage.container(CONTAINER).list_blobs(
                    include=["metadata"], raw_response_hook=read_clock
                )
            )
        except ResourceNotFoundError:
            blobs = []
    return Leases(
        times[0] if times else utc_now(),
        {
            blob.name: LastPoll.parse(blob.metadata)
            for blob in blobs
            if not blob.name.startswith(PAUSED)
        },
        frozenset(blob.name for blob in blobs if blob.lease.status == "locked"),
        {
            blob.name.removeprefix(PAUSED): blob.last_modified
            for blob in blobs
            if blob.name.startswith(PAUSED)
        },
    )


def put_off_by(silent: int) -> timedelta:
    """How long a connection waits whose last ``silent`` polls (at least one) got no answer."""
    return timedelta(minutes=min(5 << min(silent - 1, 10), 30))


def _create(blob: BlobClient) -> None:
    """Create the container where it is missing, and the empty blob."""
    from azure.core.exceptions import ResourceExistsError

    container = storage.container(CONTAINER)
    with contextlib.suppress(ResourceExistsError):
        storage.create_on_first_use(
            container.create_container, lambda: blob.upload_blob(b"", overwrite=False)
        )


def _count(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 7 else 0
