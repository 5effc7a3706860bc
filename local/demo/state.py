"""State that one run of the demo leaves for the next, so that the next sends only what is new."""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class VendorState:
    """A vendor between two runs: its port (a checkpoint belongs to an address) and its state.

    `until` is the end of its last period as ISO 8601, "" before the first run.
    """

    port: int = 0
    until: str = ""
    saved: Any = None


@dataclass(slots=True)
class State:
    """Each vendor's state by its name; that of a vendor which is absent now is kept.

    ``unfinished`` says that a run began and did not end: a kill may repeat records. ``operated``
    says that a person had a stream replayed, reset or fetched since, which repeats records too.
    ``repeats`` are the rows of each stream, by its label, that were so repeated so far.
    """

    vendors: dict[str, VendorState] = field(default_factory=dict)
    unfinished: bool = False
    operated: bool = False
    repeats: dict[str, int] = field(default_factory=dict)

    def of(self, name: str) -> VendorState:
        """The vendor's state; a new one before its first run."""
        return self.vendors.setdefault(name, VendorState())

    @classmethod
    def load(cls, path: Path) -> State:
        """The last run's state, or a new one."""
        if not path.exists():
            return cls()
        stored = json.loads(gzip.decompress(path.read_bytes()))
        return cls(
            {name: VendorState(**values) for name, values in stored["vendors"].items()},
            stored.get("unfinished", False),
            stored.get("operated", False),
            stored.get("repeats", {}),
        )

    def save(self, path: Path) -> None:
        """Replace the file at once, so that a kill leaves the old one whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_bytes(gzip.compress(json.dumps(asdict(self)).encode(), 1))
        new.replace(path)
