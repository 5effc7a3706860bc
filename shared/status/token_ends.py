"""When the connections' tokens end, as their vendors tell."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.runtime.timeout import call_together
from shared.status.model import ConnectorStatus

# With more connections of a connector than these, its vendor is not asked for each token's end.
_MOST_ASKED = 6
# For all of them together.
_SECONDS = 6.0
NOT_ASKED = "unknown: show this connection alone, and the vendor is asked"
UNTOLD = "unknown: the vendor does not tell"
_MAY_NOT_ASK = "unknown: the token may not ask for it, as service users' often may not"
_LATE = f"unknown: the vendor has not answered within {_SECONDS:.0f} s"


@dataclass(frozen=True, slots=True)
class Asked:
    """A connection's status, and the call that asks its vendor; None where there is none to make.

    The call returns the token's end in UTC, None where the vendor keeps it to itself.
    """

    status: ConnectorStatus
    token_expires: Callable[[], datetime | None] | None = None


def with_token_ends(found: Sequence[Asked]) -> list[ConnectorStatus]:
    """Ask the vendors side by side, within one deadline; return the statuses with the answers."""
    counts = Counter(each.status.name for each in found if each.status.on)
    calls = {
        index: functools.partial(_told, each.token_expires)
        for index, each in enumerate(found)
        if each.token_expires and counts[each.status.name] <= _MOST_ASKED
    }
    late: tuple[datetime | None, str] = (None, _LATE)
    answers = call_together(_SECONDS, list(calls.values()), late)
    statuses = [each.status for each in found]
    for index, (expires, note) in zip(calls, answers, strict=True):
        statuses[index] = replace(statuses[index], token_expires=expires, token_note=note)
    return statuses


def _told(token_expires: Callable[[], datetime | None]) -> tuple[datetime | None, str]:
    expires = token_expires()
    return expires, "" if expires else _MAY_NOT_ASK
