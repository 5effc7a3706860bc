"""How many records a page asks for."""

from __future__ import annotations

_LEAST = 10


class PageLimit:
    """The records that a list's page asks for: fewer once a page is too large or too slow.

    A list's source keeps one for a run, so that a vendor which cannot fill large pages in time
    still gives small ones. ``name`` is the parameter.
    """

    def __init__(self, most: int, name: str = "limit") -> None:
        self.value = most
        self.name = name

    def lower(self) -> bool:
        """Ask for a quarter from now on; False at the least."""
        lower = max(self.value // 4, _LEAST)
        lowered = lower < self.value
        self.value = min(lower, self.value)
        return lowered
