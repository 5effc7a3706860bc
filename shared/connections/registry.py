"""All connectors and all settings, for what lists them: the status page, tools, a local start.

Importing this imports every connector, so a timer's or webhook's function never does.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping, Sequence

import shared.connectors
from shared.settings.app import delivery_settings, platform_settings
from shared.settings.setting import Setting
from shared.source.connector import Connector


@functools.cache
def connectors() -> Sequence[Connector]:
    """Each ``CONNECTOR`` of a module in shared/connectors, by name."""
    package = shared.connectors
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    found = [getattr(module, "CONNECTOR", None) for module in modules]
    return sorted((c for c in found if isinstance(c, Connector)), key=lambda c: c.name)


def polled() -> Sequence[Connector]:
    """The connectors whose timers poll."""
    return [connector for connector in connectors() if connector.connect]


def received() -> Sequence[Connector]:
    """The connectors whose vendors post."""
    return [connector for connector in connectors() if connector.events]


def settings_by_section() -> Mapping[str, Sequence[Setting]]:
    """Every setting, in the README's order: each connector's, then Delivery, then Platform."""
    sections: dict[str, Sequence[Setting]] = {
        connector.name: list(connector.declared().values()) for connector in connectors()
    }
    return {**sections, "Delivery": delivery_settings(), "Platform": platform_settings()}


def all_settings() -> Sequence[Setting]:
    """Every setting there is."""
    return [setting for settings in settings_by_section().values() for setting in settings]
