"""Redrive: send dead letters and poison messages again, each once; records refused again stay.

A blob is leased while its records are sent, so that two requests at the same time send nothing
twice. Delivered records leave the blob by one write under that lease: a crash between delivery and
that write repeats the records of one blob at most.

First each blob is sent as it is, an upload a batch, those that no redrive has tried yet before the
others. Only then are refused batches bisected, within a budget that grows with what is sent. So
records that are refused again hold up no others, and cost little.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from shared.delivery.batch import packed
from shared.delivery.batch_sender import BatchSender
from shared.delivery.dead_letter_blobs import (
    NO_OBJECT,
    BlobUnreadable,
    DeadLetterBlob,
    Entry,
    leased,
    listed,
    read_entries,
    why_never,
)
from shared.delivery.dead_letters import CONTAINER, Refused
from shared.delivery.poison import PoisonRedrive
from shared.delivery.refusals import RefusalTally
from shared.delivery.sink import Sink, sink_of
from shared.delivery.spool import QUEUE, Message, Spool
from shared.errors import (
    ConnectorError,
    DestinationError,
    RuleRefusesRecords,
    SettingsError,
)
from shared.records.fit import fit_record
from shared.records.timestamps import isoformat, utc_now
from shared.telemetry.events import emit

logger = logging.getLogger("connectors.status")

DEAD_LETTERS = "dead-letters"
POISON = "poison"
SECONDS = 50.0
_BLOB_SECONDS = 30.0
# Uploads in vain beyond this, and beyond the records sent, leave the rest to the next redrive.
_UPLOADS_IN_VAIN = 100
# End a blob's bisection after so many refused alone without an accepted one, or over so large a
# share of so many.
_REFUSED_ALONE = 5
_REFUSED_SETTLED = 20
_REFUSED_SHARE = 0.8

_TIME_OVER = "the time was over: go on with the rest"
_IN_VAIN = "too many others were refused again: go on with the rest"
_TAKEN = "another request has them"
_UNREADABLE = f"their blob of {CONTAINER} cannot be read as dead letters"
_REFUSED_AGAIN = "Azure Monitor refuses them again"


@dataclass(frozen=True, slots=True)
class RedriveReport:
    """Result of a redrive: messages or records ``sent``, and those ``left`` where they were.

    ``reasons`` says why each was left, with numbers; ``message`` is the same in words. ``error``
    is what ended the redrive before its end, in ``message`` too; '' for none.
    """

    redriven: str
    sent: int
    left: int
    message: str
    reasons: Sequence[tuple[str, int]] = ()
    error: str = ""


def redrive(what: str, sinks: Callable[[str], Sink] = sink_of) -> RedriveReport:
    """Redrive ``what`` (``DEAD_LETTERS`` or ``POISON``) for up to ``SECONDS``.

    ``sinks`` returns the sink of a connection. Leave the rest for the next redrive. A
    ``ConnectorError`` becomes the report's error.
    """
    deadline = time.monotonic() + SECONDS
    work = Redrive(sinks, deadline) if what == DEAD_LETTERS else PoisonRedrive(deadline)
    error = ""
    try:
        work.run()
    except ConnectorError as failure:
        error = str(failure)
    reasons = work.reasons.most_common()
    told = [f"{n} {'stays' if n == 1 else 'stay'}, since {reason}" for reason, n in reasons]
    message = ". ".join([*told, *([error] if error else [])])
    left = work.reasons.total()
    emit(logger, "redriven", Redriven=what, Sent=work.sent, Left=left, Message=message)
    return RedriveReport(what, work.sent, left, message, reasons, error)


class _Send(Protocol):
    """Send entries of a blob to a sink; return those left, and whether bisection may help."""

    def __call__(
        self, blob: DeadLetterBlob, sink: Sink, entries: list[Entry], reasons: Counter[str], /
    ) -> tuple[list[Entry], bool]: ...


class _InMemoryDeadLetters:
    """A ``DeadLetterSink`` for records refused again: they return to the blob they came from."""

    def __init__(self) -> None:
        self.refused: list[Refused] = []

    def put(
        self,
        stream: str,  # noqa: ARG002  (protocol)
        refused: Sequence[Refused],
        connection: str = "",  # noqa: ARG002
    ) -> None:
        """Keep ``refused`` until the blob is overwritten."""
        self.refused += refused


class Redrive:
    """One redrive of the dead letters: what was sent, and why the rest was left."""

    def __init__(self, sinks: Callable[[str], Sink], deadline: float) -> None:
        self.sent = 0
        self._left: dict[str, Counter[str]] = {}
        self._sinks = sinks
        self._deadline = deadline
        self._in_vain = 0
        # A destination's error, by sink and stream, or by connection where there is no sink.
        self._down: dict[tuple[object, str], str] = {}

    @property
    def reasons(self) -> Counter[str]:
        """Return how many were left for each reason."""
        reasons: Counter[str] = Counter()
        for left in self._left.values():
            reasons += left
        return reasons

    def run(self) -> None:
        """Redrive every blob; raises ``StorageUnavailable``."""
        blobs = sorted(listed(), key=lambda blob: (blob.about.get("tried", ""), blob.name))
        refused = [left for blob in blobs if (left := self._visit(blob, self._send_whole))]
        for blob in refused:
            self._visit(blob, self._bisect)

    def _visit(self, blob: DeadLetterBlob, send: _Send) -> DeadLetterBlob | None:
        """Send a blob's records, and write back what is left.

        Return the blob as it is now, if it has refused records that bisection may tell apart.
        """
        why = blob.about.get("never") or self._why_stop()
        if why:
            self._left[blob.name] = Counter({why: blob.records})
            return None
        with leased(blob) as held:
            if held is None:
                self._left[blob.name] = Counter({_TAKEN: blob.records})
                return None
            blob = held.blob
            try:
                entries = read_entries(blob)
            except BlobUnreadable:
                self._left[blob.name] = Counter({_UNREADABLE: blob.records})
                return None
            never = {id(entry): why for entry in entries if (why := why_never(blob.stream, entry))}
            sendable = [entry for entry in entries if id(entry) not in never]
            reasons = self._left[blob.name] = Counter(never.values())
            left, refused = self._send(blob, sendable, send, reasons)
            self.sent += len(sendable) - len(left)
            kept = [*left, *(entry for entry in entries if id(entry) in never)]
            marks = {"tried": isoformat(utc_now())}
            if kept and set(never.values()) == {NO_OBJECT} and len(never) == len(kept):
                marks["never"] = NO_OBJECT
            written = held.write_entries(entries, kept, **marks)
            return written if refused else None

    def _why_stop(self) -> str:
        if time.monotonic() >= self._deadline:
            return _TIME_OVER
        return _IN_VAIN if self._in_vain >= _UPLOADS_IN_VAIN + self.sent else ""

    def _send(
        self,
        blob: DeadLetterBlob,
        entries: list[Entry],
        send: _Send,
        reasons: Counter[str],
    ) -> tuple[list[Entry], bool]:
        """Send ``entries`` to their destination, or into the spool; return what is left."""
        if not entries:
            return [], False
        if blob.stream == QUEUE:
            return self._spool_again(entries, reasons), False
        try:
            sink = self._sinks(blob.connection)
        except SettingsError as error:
            reasons[str(error)] += len(entries)
            return entries, False
        if why := self._down.get((sink, blob.stream)):
            reasons[why] += len(entries)
            return entries, False
        return send(blob, sink, entries, reasons)

    def _send_whole(
        self, blob: DeadLetterBlob, sink: Sink, entries: list[Entry], reasons: Counter[str]
    ) -> tuple[list[Entry], bool]:
        """Upload each batch as it is; what is refused is left for bisection."""
        sender = BatchSender(sink, _InMemoryDeadLetters())
        left: list[Entry] = []
        for start, batch in packed(blob.stream, _fitted(blob, sink, entries)):
            part = entries[start : start + len(batch.records)]
            try:
                if not sender.deliver_whole(batch, self._until()):
                    self._in_vain += 1
                    left += part
            except (DestinationError, SettingsError) as error:
                self._fail(sink, blob.stream, error)
                rest = entries[start:]
                reasons.update({str(error): len(rest), _REFUSED_AGAIN: len(left)})
                return [*left, *rest], False
        return left, bool(left)

    def _bisect(
        self, blob: DeadLetterBlob, sink: Sink, entries: list[Entry], reasons: Counter[str]
    ) -> tuple[list[Entry], bool]:
        """Deliver the good records among refused ones; put those refused alone last."""
        again = _InMemoryDeadLetters()
        tally = RefusalTally(_REFUSED_ALONE, _REFUSED_SETTLED, _REFUSED_SHARE)
        sender = BatchSender(sink, again, tally=tally)
        left: list[Entry] = []
        for start, batch in packed(blob.stream, _fitted(blob, sink, entries)):
            part = entries[start : start + len(batch.records)]
            try:
                sender.deliver(batch, self._until())
            except (DestinationError, SettingsError) as error:
                settled = set(error.settled) if isinstance(error, DestinationError) else set()
                left += [entry for index, entry in enumerate(part) if index not in settled]
                left += entries[start + len(part) :]
                if isinstance(error, RuleRefusesRecords):
                    reasons[_REFUSED_AGAIN] += len(left)
                else:
                    self._fail(sink, blob.stream, error)
                    reasons[str(error)] += len(left)
                break
        reasons[_REFUSED_AGAIN] += len(again.refused)
        self._in_vain += max(sender.counters.requests - 1, 0)
        if tally.blames_rule:
            # They stand first: begin with others the next time.
            left = [*left[_REFUSED_ALONE:], *left[:_REFUSED_ALONE]]
        refused = [
            Entry(each.line(blob.stream, blob.connection), each, {}) for each in again.refused
        ]
        return [*left, *refused], False

    def _fail(self, sink: Sink, stream: str, error: ConnectorError) -> None:
        """Ask this destination no more; others are not affected."""
        self._down[sink, stream] = str(error)

    def _until(self) -> float:
        return min(time.monotonic() + _BLOB_SECONDS, self._deadline)

    def _spool_again(self, entries: Sequence[Entry], reasons: Counter[str]) -> list[Entry]:
        """Put spooled messages that were set aside back into the spool, as new ones."""
        spool = Spool()
        left: list[Entry] = []
        for entry in entries:
            message = Message.read(entry.refused.record)
            if message.blob is not None and not spool.has_blob(message.blob):
                reasons["their blob of the container spool is gone"] += 1
                left.append(entry)
                continue
            spool.send(replace(message, tries=0, rounds=0, refusals=0))
        return left


def _fitted(blob: DeadLetterBlob, sink: Sink, entries: Sequence[Entry]) -> list[bytes]:
    """The entries' records with the fields that the sink declares, in order."""
    declared = sink.declared(blob.stream)
    return [fit_record(entry.refused.record, declared) for entry in entries]
