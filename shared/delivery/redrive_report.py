"""What sending again did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RedriveReport:
    """What was sent again: messages or records ``sent``, and those ``left`` where they were."""

    redriven: str
    sent: int
    left: int
    message: str
