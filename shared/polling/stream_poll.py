"""Poll one stream: fetch, pack, deliver, and only then commit.

A window runs from the watermark less the overlap to now; its end, once stored, stays the same, also
after a crash. Within a window the checkpoint holds the position before which every record is
delivered. At most four batches of 1 MB are delivered or in flight and not yet committed: a kill at
any instant repeats those at most, and loses nothing.
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
from shared.telemetry.run import LATE_AFTER, RunCounters, RunResult, RunState

IN_FLIGHT = 4
# A commit costs as much as an upload: commit every second batch to halve that.
_COMMITTED_TOGETHER = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# After completing an earlier run's window, open another if that one ended longer ago than this.
_FRESH = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
# Keep fingerprints a little longer: a vendor that rounds times returns records from just before a
# window's start.
_ROUNDING = timedelta(milliseconds=10)

logger = logging.getLogger("connectors.polling")


@dataclass(frozen=True, slots=True)
class Lookback:
    """How far back a window begins: the first one from now, the others from the watermark."""

    initial: timedelta
    overlap: timedelta


@dataclass(slots=True)
class _Upload:
    """A batch in flight; ``position`` is the stream's position once it is acknowledged."""

    future: Future[DeliveryCounters]
    position: datetime
    fingerprints: list[Fingerprint]


class StreamPoll:
    """Read one stream from its checkpoint on, deliver it, and move the checkpoint."""

    def __init__(
        self,
        source: Source,
        checkpoint: StreamCheckpoint,
        sender: BatchSender,
        counters: RunCounters,
        lookback: Lookback,
    ) -> None:
        self._source = source
        self._stream = source.stream
        self._checkpoint = checkpoint
        self._sender = sender
        self._counters = counters
        self._lookback = lookback
        declared = sender.destination.declared(self._stream.name)
        self._prepare = RecordPreparer(self._stream, declared, counters.connection)
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

    def run(self, seen: FingerprintSet, fetch_deadline: float, deliver_deadline: float) -> RunState:
        """Poll the windows that are due; ``seen`` are the loaded checkpoint's fingerprints.

        The deadlines are readings of ``time.monotonic``. Return ok, late, or catching up where the
        time was over first. Raises the ConnectorError tree, with all acknowledged records committed
        or their fingerprints stored.
        """
        self._seen = seen
        self._history = self._checkpoint.progress.history
        with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="uploads") as pool:
            while True:
                resumed = self._checkpoint.progress.window_end is not None
                state = self._poll_window(pool, fetch_deadline, deliver_deadline)
                if state == RunState.CATCHING_UP:
                    return state
                behind = utc_now() - (self._counters.watermark or utc_now())
                if not resumed or behind < _FRESH or time.monotonic() >= fetch_deadline:
                    return state

    def _poll_window(
        self, pool: ThreadPoolExecutor, fetch_deadline: float, deliver_deadline: float
    ) -> RunState:
        """Deliver one window; catching up where the time was over before its end."""
        resumed = self._checkpoint.progress.window_end is not None
        window = self._open_window()
        finished, failure = True, None
        try:
            with error_boundary():
                with contextlib.closing(
                    prefetch_pages(self._source, window, self._prepare)
                ) as pages:
                    try:
                        for page in pages:
                            self._counters.bytes_read += page.bytes_read
                            self._cap_next_watermark(page.vendor_time)
                            self._deliver_page(page, pool, deliver_deadline)
                            if time.monotonic() >= fetch_deadline and not page.last:
                                finished = False
                                break
                    except VendorError as error:
                        failure = error  # raise after delivering the pages before it
                if batch := self._packer.flush():
                    self._submit(batch, pool, deliver_deadline)
                while self._uploads:
                    acknowledged = self._await_oldest()
                    # Skip the last commit of a complete window: closing it writes the same row.
                    if self._uploads or failure or not finished:
                        self._commit(acknowledged)
        except ConnectorError:
            self._checkpoint_acknowledged()
            raise
        if failure:
            raise failure
        if not finished:
            self._counters.watermark = self._progress.position
            return RunState.CATCHING_UP
        return self._close_window(resumed)

    def _open_window(self) -> Window | None:
        """Resume an earlier run's window at its position, or open the next; None: a snapshot."""
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
        # Round down to milliseconds as some vendors do, or they return records before the start.
        start = start.replace(microsecond=start.microsecond // 1000 * 1000)
        window = Window(start, max(now, start + _SECOND))
        self._position = start
        self._progress = replace(
            past, window_start=start, window_end=window.end, watermark_next=None, position=start
        )
        return window

    def _cap_next_watermark(self, vendor_time: datetime | None) -> None:
        """Set the next watermark to the earlier of the window's end and the vendor's clock.

        Do it once a window: the first answer's time is the safe one.
        """
        past = self._progress
        if past.watermark_next or not past.window_end:
            return
        end = min(past.window_end, vendor_time or past.window_end)
        self._progress = replace(past, watermark_next=max(end, past.watermark or end))

    def _deliver_page(
        self, page: PreparedPage, pool: ThreadPoolExecutor, deliver_deadline: float
    ) -> None:
        """Pack the page's records that are not delivered yet, and submit full batches."""
        newest = self._progress.watermark_next or _EPOCH
        seen, packer = self._seen, self._packer
        for body, known, moment in zip(page.bodies, page.fingerprints, page.times, strict=True):
            if moment is None:
                self._encountered.add(known)
            if known in seen:
                self._counters.repeats += 1
                continue
            if batch := packer.add(body):
                self._submit(batch, pool, deliver_deadline)
            # Add after _submit(): the checkpoint it may write must not include a record that is not
            # in a batch yet.
            seen.add(known)
            self._packed.append(known)
            if moment is None:
                continue
            if moment > self._position:
                # Ignore a record updated while paging: its time is beyond the window, so it must
                # not advance the position.
                if moment < newest:
                    self._position = moment
            elif moment < self._position:
                # Out of order: later pages may hold older records, so stop moving the position.
                self._ordered = False

    def _submit(self, batch: Batch, pool: ThreadPoolExecutor, deliver_deadline: float) -> None:
        """Start an upload, after committing the oldest ones while ``IN_FLIGHT`` are pending."""
        while len(self._uploads) >= IN_FLIGHT:
            self._commit(self._await_oldest())
        future = pool.submit(self._sender.deliver, batch, deliver_deadline)
        position = self._position if self._ordered else self._progress.position or _EPOCH
        self._uploads.append(_Upload(future, position, self._packed))
        self._packed = []

    def _await_oldest(self) -> list[Fingerprint]:
        """Wait for the oldest uploads, and return the fingerprints of the acknowledged ones.

        Include finished uploads right behind them; raise the oldest one's error.
        """
        acknowledged: list[Fingerprint] = []
        position = self._progress.position
        for upload in islice(self._uploads, _COMMITTED_TOGETHER):
            if upload.future.exception():
                break  # commit the ones before it first
        if self._uploads[0].future.exception():
            self._uploads[0].future.result()
        while self._uploads and self._uploads[0].future.done():
            if self._uploads[0].future.exception():
                break
            upload = self._uploads.popleft()
            acknowledged += upload.fingerprints
            position = upload.position
        if not self._stream.snapshot:
            self._progress = replace(self._progress, position=position)
        return acknowledged

    def _commit(self, acknowledged: list[Fingerprint]) -> None:
        """Write the progress, and the fingerprints that later windows may meet again."""
        self._writable = False  # until the write has succeeded
        progress = self._progress
        if progress.position and progress.watermark_next:
            earliest = min(progress.position, progress.watermark_next - self._lookback.overlap)
            self._seen.prune((earliest - _ROUNDING).timestamp())
            # Drop fingerprints older than any later window: it keeps a backlog's commits small.
            acknowledged = self._seen.unexpired(acknowledged)
        if not self._checkpoint.advance(progress, acknowledged):
            self._rewrite(progress, self._acknowledged())
        self._writable = True

    def _rewrite(self, progress: Progress, acknowledged: list[Fingerprint]) -> None:
        forgotten = self._checkpoint.rewrite(progress, acknowledged)
        if forgotten:
            logger.warning(
                "%s: the overlap holds more records than a checkpoint can (%d too many): the "
                "oldest may repeat, none is lost. A shorter OverlapMinutes ends this",
                self._stream.name,
                forgotten,
            )

    def _close_window(self, resumed: bool) -> RunState:
        """Move the watermark to the window's end, and keep its last overlap's fingerprints only."""
        self._cap_next_watermark(None)
        watermark = self._progress.watermark_next
        if watermark:
            self._seen.prune((watermark - self._lookback.overlap - _ROUNDING).timestamp())
        if not resumed:
            self._seen.keep_timeless(self._encountered)
        now = utc_now()
        late = watermark is not None and now - watermark > LATE_AFTER
        state = RunState.LATE if late else RunState.OK
        self._counters.watermark = watermark
        self.count_delivered()
        history = self.history_with(self._counters.result(state))
        done = Progress(watermark=watermark, last_polled_at=now, history=history)
        self._rewrite(done, self._acknowledged())
        return state

    def count_delivered(self) -> None:
        """Bring the run's counters up to date with the sender's."""
        done, counters = self._sender.counters, self._counters
        counters.records, counters.dead_lettered = done.accepted, done.dead_lettered
        counters.bytes_sent = done.bytes_sent

    def history_with(self, result: RunResult) -> str:
        """The stream's history before this run, with ``result`` added."""
        return history_after(self._history, result)

    def _checkpoint_acknowledged(self) -> None:
        """After a failure, checkpoint batches acknowledged behind the failed one.

        So they are not resent. Store fingerprints only: the position stays before the failed batch.
        Raises nothing, since the failure is being raised.
        """
        acknowledged: list[Fingerprint] = []
        for upload in self._uploads:
            try:
                with error_boundary():
                    upload.future.result()
                acknowledged += upload.fingerprints
            except (DestinationError, StorageError) as failed:
                acknowledged += [upload.fingerprints[index] for index in failed.settled]
            except ConnectorError:
                logger.info("%s: a later batch failed too", self._stream.name)
        if not acknowledged or not self._writable:
            return
        try:
            if not self._checkpoint.advance(self._progress, acknowledged):
                self._rewrite(self._progress, sorted({*self._acknowledged(), *acknowledged}))
        except StorageError as failed:
            logger.warning(
                "%s: %d records may repeat: %s", self._stream.name, len(acknowledged), failed
            )

    def _acknowledged(self) -> list[Fingerprint]:
        """All known fingerprints but those in flight or waiting for a batch, oldest first."""
        pending = {known for upload in self._uploads for known in upload.fingerprints}
        pending.update(self._packed)
        return [known for known in self._seen.oldest_first() if known not in pending]
