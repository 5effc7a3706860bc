"""Which connectors there are: found in shared/connectors, so that a new one is shown by itself."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Sequence

import shared.connectors
from shared.source.connector import Connector
from shared.source.push import EventSource


@functools.cache
def polled() -> Sequence[Connector]:
    """The connectors whose timers poll: each module's ``CONNECTOR``."""
    found = [getattr(module, "CONNECTOR", None) for module in _modules()]
    return sorted((c for c in found if isinstance(c, Connector)), key=lambda c: c.name)


@functools.cache
def received() -> Sequence[EventSource]:
    """The connectors that are posted to: each module's ``SOURCE``."""
    found: list[EventSource] = [m.SOURCE for m in _modules() if hasattr(m, "SOURCE")]
    return sorted(found, key=lambda source: source.name)


def _modules() -> list[object]:
    package = shared.connectors
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return [
        importlib.import_module(f"{package.__name__}.{name}")
        for name in names
        if name != "registry"
    ]
