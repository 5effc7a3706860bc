"""What a person asks of dead letters: list, show, acknowledge, discard, send again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.delivery.redrive import DEAD_LETTERS, RedriveReport, redrive
from shared.delivery.review import (
    DeadLetterGroup,
    DeadLetterLine,
    Selection,
    acknowledge,
    dead_letter_groups,
    discard,
    discard_line,
    look_at,
)
from shared.status.operate import CannotOperate, Done
from shared.telemetry.humanize import many

LIST, SHOW = "list", "show"
# These change something, so they are posted.
POSTED = ("acknowledge", "discard", "send")


@dataclass(frozen=True, slots=True)
class Letters:
    """Dead letters by stream, connection and cause; ``lines`` are those of a selection.

    A line has its record's field names and types, none of its values.
    """

    groups: Sequence[DeadLetterGroup]
    lines: Sequence[DeadLetterLine] = ()


def selection(asked: Mapping[str, str]) -> Selection:
    """What ``stream``, ``cause`` and ``connection`` choose; one that is not given, any."""
    return Selection(asked.get("stream"), asked.get("cause"), asked.get("connection"))


def read_letters(what: str, asked: Mapping[str, str]) -> Letters:
    """Read the list, or with ``show`` samples of it. Raises CannotOperate, StorageUnavailable."""
    if what not in (LIST, SHOW):
        raise CannotOperate(
            f"dead-letters is one of {LIST}, {SHOW}; with POST one of {', '.join(POSTED)}"
        )
    groups = dead_letter_groups()
    return Letters(groups, look_at(selection(asked)) if what == SHOW else ())


def handle_letters(what: str, asked: Mapping[str, str]) -> Done | RedriveReport:
    """Acknowledge, discard or send dead letters. Raises CannotOperate, StorageUnavailable."""
    if what == "send":
        return redrive(DEAD_LETTERS)
    if what == "acknowledge":
        _check(asked)
        records = acknowledge(selection(asked))
        return Done(
            what,
            f"{many(records, 'dead letter')} marked as looked at; they stay, and later ones are "
            "told again."
            if records
            else "All of them are marked already.",
            changed=bool(records),
        )
    if what != "discard":
        raise CannotOperate(f"dead-letters is one of {', '.join(POSTED)}")
    if asked.get("blob") and asked.get("line"):
        records = discard_line(asked["blob"], asked["line"])
    elif asked.get("stream") and asked.get("cause"):
        _check(asked)
        records = discard(selection(asked))
    else:
        raise CannotOperate(
            "Discard one dead letter by its blob and line, or all of a cause by stream and cause"
        )
    text = f"{many(records, 'dead letter')} deleted for good." if records else "It is gone already."
    return Done(what, text, changed=bool(records))


def _check(asked: Mapping[str, str]) -> None:
    """Raise CannotOperate where no dead letter is of the stream, cause and connection given."""
    for name in ("stream", "cause", "connection"):
        known = sorted({str(getattr(group, name)) for group in dead_letter_groups()})
        if name in asked and asked[name] not in known:
            told = "; ".join(each or "(without a name)" for each in known) or "none: there are none"
            raise CannotOperate(f"{name} of dead letters is one of {told}")
