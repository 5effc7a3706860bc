"""The pipeline of a run: pack the records of pages, upload batches, commit what is acknowledged.

At most four batches of 1 MB are delivered or in flight and not yet committed: a kill at any instant
repeats those at most, and loses nothing.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.delivery.batch import Batch, Packer
from shared.delivery.batch_sender import BatchSender, DeliveryCounters
from shared.errors import ConnectorError, DestinationError, StorageError, error_boundary
from shared.polling.prepare import PreparedPage
from shared.state.checkpoint import StreamCheckpoint
from shared.state.fingerprints import Fingerprint, FingerprintSet, encountered_mark
from shared.state.progress import Progress
from shared.telemetry.run import RunCounters

IN_FLIGHT = 4
# Keep fingerprints a little longer: a vendor that rounds times returns records from just before a
# window's start.
ROUNDING = timedelta(milliseconds=10)

logger = logging.getLogger("connectors.polling")


@dataclass(slots=True)
class _Upload:
    """A batch in flight; ``progress`` is the stream's once this and all before are acknowledged."""

    future: Future[DeliveryCounters]
    progress: Progress
    fingerprints: list[Fingerprint]


class Pipeline:
    """Deliver one stream's pages, and move its checkpoint behind what is delivered.

    ``seen`` are the fingerprints that the checkpoint had; ``keep`` tells how long before the next
    watermark a window may begin, so how long fingerprints are kept.
    """

    def __init__(
        self,
        checkpoint: StreamCheckpoint,
        sender: BatchSender,
        counters: RunCounters,
        seen: FingerprintSet,
        *,
        pool: ThreadPoolExecutor,
        keep: Callable[[Progress], timedelta],
    ) -> None:
        self._checkpoint = checkpoint
        self._stream = checkpoint.stream
        self._sender = sender
        self._counters = counters
        self._pool = pool
        self._keep = keep
        self._packer = Packer(self._stream)
        self._packed: list[Fingerprint] = []
        self._uploads: deque[_Upload] = deque()
        self._uncommitted: list[Fingerprint] = []
        self._encountered: set[Fingerprint] = set()
        self._writable = True
        self.seen = seen
        self.progress = checkpoint.progress

    def deliver(
        self, page: PreparedPage, progress_at: Callable[[int], Progress], deadline: float
    ) -> None:
        """Pack the page's records that are not delivered yet, and submit full batches.

        ``progress_at(n)`` is the progress once the page's first n records are delivered, and all
        pages before. ``deadline`` as in ``BatchSender.deliver``.
        """
        new = self._undelivered(page.fingerprints)
        self._counters.repeats += len(page.fingerprints) - len(new)
        bodies, known = page.bodies, page.fingerprints
        if len(new) < len(bodies):
            bodies, known = [bodies[n] for n in new], [known[n] for n in new]
        while new:
            room = self._packer.fill(bodies)
            # Add only what is in a batch: the checkpoint that _submit() may write has no other.
            self.seen.update(known[:room])
            self._packed += known[:room]
            new, bodies, known = new[room:], bodies[room:], known[room:]
            if new and (batch := self._packer.flush()):
                self._submit(batch, progress_at(new[0]), deadline)

    def _undelivered(self, fingerprints: Sequence[Fingerprint]) -> Sequence[int]:
        """The numbers of a page's records that are not delivered yet, each record once."""
        if self.seen.isdisjoint(fingerprints) and len({*fingerprints}) == len(fingerprints):
            return range(len(fingerprints))  # as in all of a backlog
        first = dict(zip(reversed(fingerprints), reversed(range(len(fingerprints))), strict=True))
        return sorted(number for known, number in first.items() if known not in self.seen)

    def met_before(self, fingerprints: set[Fingerprint]) -> None:
        """Take over what earlier runs of an unfinished snapshot noted with ``encounter``."""
        self._encountered |= fingerprints

    def encounter(self, fingerprints: set[Fingerprint]) -> None:
        """Note records without a time that the vendor still returns; store it with a commit."""
        self._uncommitted += map(encountered_mark, fingerprints - self._encountered)
        self._encountered |= fingerprints

    def finish(self, progress: Progress, deadline: float, *, commit: bool) -> None:
        """Deliver all that is packed; then ``progress`` is the stream's.

        Without ``commit`` the caller writes it with ``close`` or a later commit.
        """
        if batch := self._packer.flush():
            self._submit(batch, progress, deadline)
        while self._uploads:
            self._await_oldest()
            if self._uploads:
                self._commit()
        self.progress = progress
        if commit and (self._uncommitted or self._to_store(progress) != self._checkpoint.progress):
            self._commit()

    def close(self, progress: Progress) -> None:
        """Replace the checkpoint by ``progress`` and the fingerprints that have not expired."""
        self.progress = self._to_store(progress)
        self._encountered = set()
        self._rewrite(self.acknowledged())
        self._uncommitted = []

    def _submit(self, batch: Batch, progress: Progress, deadline: float) -> None:
        """Start an upload, after committing the oldest ones while ``IN_FLIGHT`` are pending."""
        while len(self._uploads) >= IN_FLIGHT:
            self._await_oldest()
            self._commit()
        future = self._pool.submit(self._sender.deliver, batch, deadline)
        self._uploads.append(_Upload(future, progress, self._packed))
        self._packed = []

    def _await_oldest(self) -> None:
        """Wait for the oldest upload, and move the progress behind the acknowledged ones.

        Include finished uploads right behind it; raise the oldest one's error.
        """
        self._uploads[0].future.result()
        while self._uploads and self._uploads[0].future.done():
            if self._uploads[0].future.exception():
                break
            upload = self._uploads.popleft()
            self._uncommitted += upload.fingerprints
            self.progress = upload.progress

    def _commit(self) -> None:
        """Write the progress, and the fingerprints that later windows may meet again."""
        self._writable = False  # until the write has succeeded
        progress = self.progress
        if progress.position and progress.watermark_next:
            earliest = min(progress.position, progress.watermark_next - self._keep(progress))
            self.seen.prune((earliest - ROUNDING).timestamp())
        progress = self.progress = self._to_store(progress)
        # Drop fingerprints older than any later window: it keeps a backlog's commits small.
        self._uncommitted = self.seen.unexpired(self._uncommitted)
        if not self._checkpoint.advance(progress, self._uncommitted):
            self._rewrite(self.acknowledged())
        self._uncommitted = []
        self._writable = True

    def _rewrite(self, seen: list[Fingerprint]) -> None:
        forgotten = self._checkpoint.rewrite(self.progress, seen)
        if forgotten:
            logger.warning(
                "%s: the overlap holds more records than a checkpoint can (%d too many): the "
                "oldest may repeat, none is lost. A shorter OverlapMinutes ends this",
                self._stream,
                forgotten,
            )

    def checkpoint_acknowledged(self) -> None:
        """After a failure, checkpoint batches acknowledged behind the failed one.

        So they are not resent. Store fingerprints only: the position stays before the failed batch.
        Raises nothing, since the failure is being raised.
        """
        acknowledged = list(self._uncommitted)
        for upload in self._uploads:
            try:
                with error_boundary():
                    upload.future.result()
                acknowledged += upload.fingerprints
            except (DestinationError, StorageError) as failed:
                acknowledged += [upload.fingerprints[index] for index in failed.settled]
            except ConnectorError:
                logger.info("%s: a later batch failed too", self._stream)
        if not acknowledged or not self._writable:
            return
        self.progress = self._to_store(self.progress)
        try:
            if not self._checkpoint.advance(self.progress, acknowledged):
                self._rewrite(sorted({*self.acknowledged(), *acknowledged}))
        except StorageError as failed:
            logger.warning("%s: %d records may repeat: %s", self._stream, len(acknowledged), failed)

    def acknowledged(self) -> list[Fingerprint]:
        """All known fingerprints but those in flight or waiting for a batch, oldest first."""
        pending = {known for upload in self._uploads for known in upload.fingerprints}
        pending.update(self._packed)
        known = {known for known in self.seen.oldest_first() if known not in pending}
        return sorted(known.union(map(encountered_mark, self._encountered)))

    def _to_store(self, progress: Progress) -> Progress:
        """``progress`` without a window of which no page has come: it has no next watermark yet.

        Note from when on fingerprints are kept: a window that begins earlier would repeat records.
        """
        if not progress.watermark_next:
            progress = replace(progress, window_start=None, window_end=None, position=None)
        known = [since for since in (progress.known_from, self.seen.complete_from) if since]
        return replace(progress, known_from=max(known, default=None))
