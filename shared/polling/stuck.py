"""Tell a stream that is stuck: its runs end neither with an end nor further on."""

from __future__ import annotations

from shared.errors import NoProgress
from shared.polling.throttled import without_wait
from shared.records.timestamps import isoformat
from shared.source.stream import Stream
from shared.state.progress import Progress

# So many runs without progress are an error.
STUCK_AFTER = 2


class ProgressWatch:
    """How far the streams of a run stood at its beginning; all rounds of a run count as one.

    ``unended`` are the runs before this one that began and did not end: each counts as without
    progress.
    """

    def __init__(self) -> None:
        self.unended = 0
        self._began: dict[str, Progress] = {}

    def begin(self, stream: Stream, progress: Progress) -> None:
        """Note where a stream stands before its first round."""
        self._began.setdefault(stream.name, progress)

    def _moved(self, stream: Stream, now: Progress, delivered: int) -> bool:
        """Whether the run brought a record, or came further."""
        return bool(delivered) or now.place != self._began[stream.name].place

    def reached(self, stream: Stream, now: Progress, delivered: int) -> Progress:
        """``now``, which knows of no wait for the vendor's limit where the run moved."""
        return without_wait(now) if self._moved(stream, now, delivered) else now

    def stalled_runs(self, stream: Stream, now: Progress, delivered: int) -> int:
        """How many runs, with this one, ended at the same place without a record; 0 for none."""
        if self._moved(stream, now, delivered):
            return 0
        return self._began[stream.name].stalled + self.unended + 1


def stuck(stream: Stream, progress: Progress, runs: int) -> NoProgress:
    """The error of a stream whose runs end at the same place."""
    where = f"behind {isoformat(progress.position)}" if progress.position else "at its beginning"
    return NoProgress(
        f"{runs} runs of {stream.setting_name} ended {where} without an end and without a new "
        "record: a run's time does not suffice for what is to be read there at once"
    )
