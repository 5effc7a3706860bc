"""Poll one stream: fetch, pack, deliver, and only then commit.

A window runs from the watermark less the overlap to now; its end, once stored, stays the same, also
after a crash. A stream whose times are not when the vendor learned of its records is looked at by
id first. What a run leaves unfinished the next one resumes: behind the vendor's cursor, or from the
position where the vendor refuses that.
"""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import cast

from shared.delivery.batch_sender import BatchSender
from shared.errors import ConnectorError, VendorError, VendorRefused, error_boundary
from shared.polling.id_schedule import IdSchedule
from shared.polling.id_walk import IdsDoNotGrow, IdWalk
from shared.polling.pipeline import IN_FLIGHT, ROUNDING, Pipeline
from shared.polling.prepare import PreparedPage, RecordPreparer
from shared.polling.snapshot_walk import SnapshotWalk
from shared.polling.walk import Walk
from shared.polling.window_walk import EPOCH, WindowWalk, cap_next_watermark, open_window
from shared.records.timestamps import utc_now
from shared.source.stream import IdSource, Source
from shared.state.checkpoint import StreamCheckpoint
from shared.state.fingerprints import Fingerprint, FingerprintSet
from shared.state.progress import Progress
from shared.telemetry.history import history_after
from shared.telemetry.run import LATE_AFTER, RunCounters, RunResult, RunState

# After completing an earlier run's window, open another if that one ended longer ago than this.
_FRESH = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Lookback:
    """How far back a window begins: the first one from now, the others from the watermark."""

    initial: timedelta
    overlap: timedelta


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
        self._ids = IdSchedule(self._stream, lookback.overlap)
        declared = sender.destination.declared(self._stream.name)
        self._prepare = RecordPreparer(self._stream, declared, counters.connection)
        self._timeless: set[Fingerprint] = set()
        self._history = ""
        self._fetch_deadline = self._deliver_deadline = self._delivery_time = 0.0
        self._delivered_a_page = False
        self._pipeline: Pipeline

    def run(self, seen: FingerprintSet, fetch_deadline: float, deliver_deadline: float) -> RunState:
        """Poll what is due; ``seen`` are the loaded checkpoint's fingerprints.

        The deadlines are readings of ``time.monotonic``. Return ok, late, or catching up where the
        time was over first. Raises the ConnectorError tree, with all acknowledged records committed
        or their fingerprints stored.
        """
        self._history = self._checkpoint.progress.history
        self._fetch_deadline, self._deliver_deadline = fetch_deadline, deliver_deadline
        self._delivery_time = deliver_deadline - fetch_deadline
        with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="uploads") as pool:
            self._pipeline = Pipeline(
                self._checkpoint,
                self._sender,
                self._counters,
                seen,
                pool=pool,
                keep=self._ids.keep,
            )
            if self._stream.snapshot:
                return self._poll_snapshot()
            while True:
                resumed = self._pipeline.progress.window_end is not None
                state = self._poll_window() if resumed else self._poll_next()
                behind = utc_now() - (self._counters.watermark or utc_now())
                if (
                    state == RunState.CATCHING_UP
                    or not resumed
                    or behind < _FRESH
                    or time.monotonic() >= fetch_deadline
                ):
                    return state

    def _poll_snapshot(self) -> RunState:
        past = self._pipeline.progress
        met = self._pipeline.seen.take_encountered()
        self._timeless = met if past.cursor else set()
        self._pipeline.met_before(self._timeless)
        if not self._read(SnapshotWalk(self._source, self._prepare, past)):
            return RunState.CATCHING_UP
        return self._close(whole=True)

    def _poll_next(self) -> RunState:
        """Look by id where the stream is read so; then open and poll the next window, if due."""
        if self._ids.looks(self._pipeline.progress):
            if not self._look_by_id():
                return RunState.CATCHING_UP
            if not self._ids.check_is_due(self._pipeline.progress, utc_now()):
                return self._close(whole=False)
        past, now = self._pipeline.progress, utc_now()
        start, past = self._ids.window_from(past, now)
        if not past.watermark and not self._stream.inventory:
            start = now - self._lookback.initial
        self._pipeline.progress = open_window(past, start or EPOCH, now)
        return self._poll_window(whole=True)

    def _look_by_id(self) -> bool:
        """Look at the stream by id; False where the time was over before its bottom."""
        past = self._pipeline.progress
        whole_inventory = self._stream.inventory and not past.watermark
        only_note = not past.known_id and not whole_inventory
        source = cast(IdSource, self._source)
        walk = IdWalk(source, self._prepare, past, utc_now(), only_note=only_note)
        # Store only the fingerprints that a window can meet again.
        marks = [mark for mark in (past.watermark, past.checked_at) if mark]
        base = min(marks, default=walk.started)
        self._pipeline.seen.expire((base - self._ids.keep(past) - ROUNDING).timestamp())
        try:
            if not self._read(walk):
                return False
        except (IdsDoNotGrow, VendorRefused) as error:
            if isinstance(error, VendorRefused) and error.status != 400:
                raise
            progress = self._ids.slowed(self._pipeline.progress, str(error), utc_now())
            self._pipeline.progress = replace(progress, cursor="")
            return True
        self._ids.looked(past)
        done = walk.reached_bottom()
        if past.known_id or whole_inventory:
            done = replace(done, watermark=max(walk.started, past.watermark or walk.started))
        self._pipeline.progress = done
        return True

    def _poll_window(self, *, whole: bool = False) -> RunState:
        """Deliver the open window; catching up where the time was over before its end.

        ``whole``: this run opened it, so it reads all of it.
        """
        progress, overlap = self._pipeline.progress, self._lookback.overlap
        walk = WindowWalk(self._source, self._prepare, progress, overlap)
        if not self._read(walk):
            self._counters.watermark = self._pipeline.progress.position
            return RunState.CATCHING_UP
        return self._close(whole=whole)

    def _read(self, walk: Walk) -> bool:
        """Deliver the walk's pages; False where the time was over before its end.

        Raises the ConnectorError tree, with all acknowledged records committed.
        """
        finished, failure = True, None
        pipeline = self._pipeline
        try:
            with error_boundary():
                with contextlib.closing(walk.pages()) as pages:
                    try:
                        for page in pages:
                            if self._delivered_a_page and self._came_late():
                                finished = False
                                break
                            self._deliver(page, walk)
                            if time.monotonic() >= self._fetch_deadline and not page.last:
                                finished = False
                                break
                    except VendorError as error:
                        failure = error  # raise after delivering the pages before it
                self._allow_delivery()
                stays_open = failure is not None or not finished
                pipeline.finish(walk.progress, self._deliver_deadline, commit=stays_open)
        except ConnectorError:
            pipeline.checkpoint_acknowledged()
            raise
        if failure:
            raise failure
        return finished

    def _came_late(self) -> bool:
        """Whether a page in flight at the fetch deadline came too late to be delivered well."""
        return time.monotonic() >= self._fetch_deadline + self._delivery_time / 2

    def _allow_delivery(self) -> None:
        """After waiting for a page beyond the fetch deadline, allow what is packed its time."""
        if self._came_late():
            latest = time.monotonic() + self._delivery_time
            self._deliver_deadline = max(self._deliver_deadline, latest)

    def _deliver(self, page: PreparedPage, walk: Walk) -> None:
        self._allow_delivery()
        self._counters.bytes_read += page.bytes_read
        walk.begin(page)
        if None in page.times:
            pairs = zip(page.times, page.fingerprints, strict=True)
            timeless = {known for moment, known in pairs if moment is None}
            self._timeless |= timeless
            if self._stream.snapshot:
                self._pipeline.encounter(timeless)
        if isinstance(walk, WindowWalk) and self._ids.shows_otherwise(page, self._pipeline.seen):
            cause = "a record appeared whose id is below those of records that came before it"
            walk.progress = self._ids.slowed(walk.progress, cause, utc_now())
        self._pipeline.deliver(page, walk.progress_at, self._deliver_deadline)
        walk.end(page)
        self._delivered_a_page = True

    def _close(self, *, whole: bool) -> RunState:
        """End the window, snapshot or look: keep the fingerprints alone that a later run needs.

        ``whole``: this run has met every record without a time that the vendor still returns.
        """
        pipeline = self._pipeline
        past = cap_next_watermark(pipeline.progress, None)
        watermark = past.watermark_next or past.watermark
        if watermark:
            pipeline.seen.prune((watermark - self._ids.keep(past) - ROUNDING).timestamp())
        if whole:
            pipeline.seen.keep_timeless(self._timeless)
        now = utc_now()
        late = watermark is not None and now - watermark > LATE_AFTER
        state = RunState.LATE if late else RunState.OK
        self._counters.watermark = watermark
        self.count_delivered()
        done = Progress(
            watermark=watermark,
            last_polled_at=now,
            known_id=past.known_id,
            checked_at=watermark if past.window_end else past.checked_at,
            slow_since=past.slow_since,
            slow_at=past.slow_at,
            known_from=past.known_from,
        )
        pipeline.progress = done  # for ``note``
        history = self.history_with(self._counters.result(state, note=self.note))
        pipeline.close(replace(done, history=history))
        return state

    @property
    def note(self) -> str:
        """What to say about a run that succeeded, '' for nothing."""
        return self._ids.note if self._pipeline.progress.slow_since else ""

    def count_delivered(self) -> None:
        """Bring the run's counters up to date with the sender's."""
        done, counters = self._sender.counters, self._counters
        counters.records, counters.dead_lettered = done.accepted, done.dead_lettered
        counters.bytes_sent = done.bytes_sent

    def history_with(self, result: RunResult) -> str:
        """The stream's history before this run, with ``result`` added."""
        return history_after(self._history, result)
