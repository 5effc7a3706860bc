"""A simulated clock: let the app take part of its history for the present."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime


@contextmanager
def app_clock(moment: datetime) -> Iterator[None]:
    """Within the block it is ``moment`` for the app; servers and storage keep their own time."""
    modules = [
        vars(module)
        for name, module in list(sys.modules.items())
        if name.startswith("shared.") and "utc_now" in vars(module)
    ]
    right = [names["utc_now"] for names in modules]
    try:
        for names in modules:
            names["utc_now"] = lambda: moment
        yield
    finally:
        for names, clock in zip(modules, right, strict=True):
            names["utc_now"] = clock
