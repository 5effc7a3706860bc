"""One stream's poll: fetch, pack, deliver, and only then commit.

A window runs from the watermark less the overlap to now; its end, once it is written down, stays,
also after a crash. Within it the checkpoint holds the position before which every record has
arrived. At most four batches of 1 MB are delivered or in flight and not yet committed: that is
all a kill at any instant can repeat, and it loses nothing.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from shared.delivery.batch import Batch, Packer
from shared.delivery.batch_sender import BatchSender, DeliveryCounters
from shared.errors import (
    ConnectorError,
    DestinationError,
    StorageError,
    VendorError,
    error_boundary,
)
from shared.polling.prefetch import prefetch_pages
from shared.polling.prepare import PreparedPage, RecordPreparer
from shared.records.timestamps import utc_now
from shared.source.stream import Source, Window
from shared.state.checkpoint import Progress, StreamCheckpoint
from shared.state.fingerprints import Fingerprint, FingerprintSet
from shared.telemetry.history import history_after
from shared.telemetry.run import LATE_AFTER, RunState, StreamRun

IN_FLIGHT = 4
# A commit costs as much as an upload: one for two halves that.
_COMMITTED_TOGETHER = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# After a window that an earlier run began, another is begun if it ended longer ago than this.
_FRESH = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
# Vendors that know milliseconds are asked from a little before a window's start.
_ROUNDING = timedelta(milliseconds=10)

logger = logging.getLogger("connectors.polling")


@dataclass(frozen=True, slots=True)
class Lookback:
    """How far back a window begins: at first, and before the last one's end."""

    initial: timedelta
    overlap: timedelta


@dataclass(slots=True)
class _Upload:
    """A batch on its way; ``position`` is where the stream stands once it has arrived."""

    future: Future[DeliveryCounters]
    position: datetime
    fingerprints: list[Fingerprint]


class StreamPoll:
    """One stream in one run, from its checkpoint to its checkpoint."""

    def __init__(
        self,
        source: Source,
        checkpoint: StreamCheckpoint,
        delivery: BatchSender,
        run: StreamRun,
        lookback: Lookback,
    ) -> None:
        self._source = source
        self._stream = source.stream
        self._checkpoint = checkpoint
        self._delivery = delivery
        self._run = run
        self._lookback = lookback
        self._prepare = RecordPreparer(
            self._stream, delivery.destination.declared(self._stream.name)
        )
        self._packer = Packer(self._stream.name)
        self._packed: list[Fingerprint] = []
        self._uploads: deque[_Upload] = deque()
        self._seen = FingerprintSet()
        self._encountered: set[Fingerprint] = set()
        self._progress = Progress()
        self._history = ""
        self._position = _EPOCH
        self._ordered = True
        self._writable = True

    def run(self, seen: FingerprintSet, fetch_until: float, deliver_until: float) -> None:
        """Walk what is due; the checkpoint is loaded and ``seen`` is what it knows.

        ``fetch_until`` and ``deliver_until`` are readings of ``time.monotonic``. Raises the
        ConnectorError tree; what had arrived by then is committed or known.
        """
        self._seen = seen
        self._history = self._checkpoint.progress.history
        with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="uploads") as pool:
            while True:
                resumed = self._checkpoint.progress.window_end is not None
                finished = self._walk(pool, fetch_until, deliver_until)
                if not finished:
                    self._run.status = RunState.CATCHING_UP
                    self._run.watermark = self._progress.position
                    return
                behind = utc_now() - (self._run.watermark or utc_now())
                if not resumed or behind < _FRESH or time.monotonic() >= fetch_until:
                    return

    def _walk(self, pool: ThreadPoolExecutor, fetch_until: float, deliver_until: float) -> bool:
        """One window; False where the time was over before its end."""
        resumed = self._checkpoint.progress.window_end is not None
        window = self._open()
        finished, failure = True, None
        try:
            with error_boundary():
                with contextlib.closing(
                    prefetch_pages(self._source, window, self._prepare)
                ) as pages:
                    try:
                        for page in pages:
                            self._cap_next_watermark(page.vendor_time)
                            self._take(page, pool, deliver_until)
                            if time.monotonic() >= fetch_until and not page.last:
                                finished = False
                                break
                    except VendorError as error:
                        failure = error  # what came before it is delivered all the same
                if batch := self._packer.flush():
                    self._submit(batch, pool, deliver_until)
                while self._uploads:
                    arrived = self._settle()
                    # What arrives last is written down with the window's end, if it ends here.
                    if self._uploads or failure or not finished:
                        self._commit(arrived)
        except ConnectorError:
            self._checkpoint_acknowledged()
            raise
        if failure:
            raise failure
        if finished:
            self._close(resumed)
        return finished

    def _open(self) -> Window | None:
        """The window an earlier run began, from its position on, or the next one."""
        past = self._checkpoint.progress
        self._ordered = True
        if self._stream.snapshot:
            self._progress = past
            return None
        if past.position and past.window_end:
            self._progress, self._position = past, past.position
            return Window(past.position, max(past.window_end, past.position + _SECOND))
        now = utc_now()
        if past.watermark:
            start = past.watermark - self._lookback.overlap
        else:
            start = _EPOCH if self._stream.inventory else now - self._lookback.initial
        # Some vendors know milliseconds only: begun on one, nothing comes before the start.
        start = start.replace(microsecond=start.microsecond // 1000 * 1000)
        window = Window(start, max(now, start + _SECOND))
        self._position = start
        self._progress = replace(
            past, window_start=start, window_end=window.end, watermark_next=None, position=start
        )
        return window

    def _cap_next_watermark(self, vendor_time: datetime | None) -> None:
        """The watermark at the window's end is the lesser of that end and the vendor's clock."""
        past = self._progress
        if past.watermark_next or not past.window_end:
            return
        end = min(past.window_end, vendor_time or past.window_end)
        self._progress = replace(past, watermark_next=max(end, past.watermark or end))

    def _take(self, page: PreparedPage, pool: ThreadPoolExecutor, deliver_until: float) -> None:
        newest = self._progress.watermark_next or _EPOCH
        seen, packer = self._seen, self._packer
        for body, known, moment in zip(page.bodies, page.fingerprints, page.times, strict=True):
            if moment is None:
                self._encountered.add(known)
            if known in seen:
                self._run.repeats += 1
                continue
            if batch := packer.add(body):
                self._submit(batch, pool, deliver_until)
            # Known only now: what ``_submit`` may have written down had not to tell of this one.
            seen.add(known)
            self._packed.append(known)
            if moment is None:
                continue
            if moment > self._position:
                # One that was changed since it was found says nothing of how far the walk is.
                if moment < newest:
                    self._position = moment
            elif moment < self._position:
                # The vendor's order is broken: what is still to come may be older than this.
                self._ordered = False

    def _submit(self, batch: Batch, pool: ThreadPoolExecutor, deliver_until: float) -> None:
        while len(self._uploads) >= IN_FLIGHT:
            self._commit(self._settle())
        future = pool.submit(self._delivery.deliver, batch, deliver_until)
        position = self._position if self._ordered else self._progress.position or _EPOCH
        self._uploads.append(_Upload(future, position, self._packed))
        self._packed = []

    def _settle(self) -> list[Fingerprint]:
        """Wait for the oldest uploads; what arrived of them and of those behind that are done."""
        arrived: list[Fingerprint] = []
        position = self._progress.position
        for upload in islice(self._uploads, _COMMITTED_TOGETHER):
            if upload.future.exception():
                break  # what came before it is committed all the same
        if self._uploads[0].future.exception():
            self._uploads[0].future.result()
        while self._uploads and self._uploads[0].future.done():
            if self._uploads[0].future.exception():
                break
            upload = self._uploads.popleft()
            arrived += upload.fingerprints
            position = upload.position
        if not self._stream.snapshot:
            self._progress = replace(self._progress, position=position)
        return arrived

    def _commit(self, arrived: list[Fingerprint]) -> None:
        self._writable = False  # until it has been written
        progress = self._progress
        if progress.position and progress.watermark_next:
            earliest = min(progress.position, progress.watermark_next - self._lookback.overlap)
            self._seen.prune((earliest - _ROUNDING).timestamp())
            # Nobody reads again what is older, so it need not be known: a backlog's commits are
            # small.
            arrived = self._seen.unexpired(arrived)
        if not self._checkpoint.advance(progress, arrived):
            self._rewrite(progress, self._stored())
        self._writable = True

    def _rewrite(self, progress: Progress, arrived: list[Fingerprint]) -> None:
        forgotten = self._checkpoint.rewrite(progress, arrived)
        if forgotten:
            logger.warning(
                "%s: the overlap holds more records than a checkpoint can (%d too many): the "
                "oldest may repeat, none is lost. A shorter OverlapMinutes ends this",
                self._stream.name,
                forgotten,
            )

    def _close(self, resumed: bool) -> None:
        """The window's end: the watermark moves, and only its last overlap stays known."""
        self._cap_next_watermark(None)
        watermark = self._progress.watermark_next
        if watermark:
            self._seen.prune((watermark - self._lookback.overlap - _ROUNDING).timestamp())
        if not resumed:
            self._seen.keep_timeless(self._encountered)
        now = utc_now()
        self._run.watermark = watermark
        self._run.status = (
            RunState.LATE if watermark and now - watermark > LATE_AFTER else RunState.OK
        )
        done = Progress(watermark=watermark, looked_at=now, history=self.history())
        self._rewrite(done, self._stored())

    def history(self) -> str:
        """The stream's history as of now, this run in it."""
        done = self._delivery.counters
        self._run.records, self._run.dead_lettered = done.accepted, done.dead_lettered
        self._run.bytes_sent = done.bytes_sent
        return history_after(self._history, self._run)

    def _checkpoint_acknowledged(self) -> None:
        """After a failure: batches behind the failed one may have arrived; do not send them again.

        The position stays; their fingerprints are enough. Raises nothing: an error is on its way.
        """
        arrived: list[Fingerprint] = []
        for upload in self._uploads:
            try:
                with error_boundary():
                    upload.future.result()
                arrived += upload.fingerprints
            except (DestinationError, StorageError) as failed:
                arrived += [upload.fingerprints[index] for index in failed.settled]
            except ConnectorError:
                logger.info("%s: a later batch failed too", self._stream.name)
        if not arrived or not self._writable:
            return
        try:
            if not self._checkpoint.advance(self._progress, arrived):
                self._rewrite(self._progress, sorted({*self._stored(), *arrived}))
        except StorageError as failed:
            logger.warning("%s: %d records may repeat: %s", self._stream.name, len(arrived), failed)

    def _stored(self) -> list[Fingerprint]:
        """What has arrived, oldest first: what is known, and neither in flight nor waiting."""
        undelivered = {known for upload in self._uploads for known in upload.fingerprints}
        undelivered.update(self._packed)
        return [known for known in self._seen.oldest_first() if known not in undelivered]
