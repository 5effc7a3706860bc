"""The vendors of the demo: each module of local/vendors that declares ``VENDOR``."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Sequence

import local.vendors
from local.vendors.vendor import Vendor


@functools.cache
def vendors() -> Sequence[Vendor]:
    """Every vendor that is there, those with the most streams first, then by name."""
    package = local.vendors
    modules = [
        importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
        if module.name != "registry"
    ]
    declared = [getattr(module, "VENDOR", None) for module in modules]
    found = [vendor for vendor in declared if isinstance(vendor, Vendor)]
    return sorted(found, key=lambda vendor: (-len(vendor.streams), vendor.name))
