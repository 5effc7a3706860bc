"""What to look at when a vendor refuses a request, by the names of the connection's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Advice:
    """The advice of one connection of ``vendor``.

    ``texts`` are templates by HTTP status, None for any other; ``names`` are the settings' names by
    field, those of the connection's own where it has a name.
    """

    vendor: str
    texts: Mapping[int | None, str]
    names: Mapping[str, str]

    def __call__(self, status: int) -> str:
        """What to look at after ``status``."""
        return self.filled(self.texts.get(status, self.texts[None]))

    def filled(self, text: str) -> str:
        """Fill the names of the connection's settings into a template."""
        return text.format(**self.names)
