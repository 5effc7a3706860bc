"""The declaration of one app setting."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """One app setting. ``default`` is its value where absent, None where there is none.

    ``bounds`` are the least and the most of a number, both allowed.
    """

    name: str
    section: str
    meaning: str
    required: bool = False
    default: str | None = None
    secret: bool = False
    example: str = ""
    bounds: tuple[float, float] = (0, 0)
