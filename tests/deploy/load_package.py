"""Load every function of an unzipped package in Microsoft's worker runtime, as its worker does.

Run by an interpreter that has nothing else on its path (``python3.13 -I -S load_package.py
FOLDER``). Prints the functions' names as JSON; any fault ends it.
"""

from __future__ import annotations

import enum
import json
import sys
import types
from pathlib import Path
from typing import Any


class Direction(enum.IntEnum):
    """The directions of a binding, as the host numbers them."""

    IN = 0
    OUT = 1
    INOUT = 2


def main(folder: Path) -> None:
    """Load the functions; ``folder`` is the root of the app."""
    site_packages = folder / ".python_packages" / "lib" / "site-packages"
    sys.path[:0] = [str(folder), str(site_packages)]
    from azure_functions_runtime_v1.bindings.meta import load_binding_registry
    from azure_functions_runtime_v1.functions import Registry
    from azure_functions_runtime_v1.loader import install, load_function

    load_binding_registry()
    install()
    registry, loaded = Registry(), []
    for path in sorted(folder.glob("*/function.json")):
        declared = json.loads(path.read_text(encoding="utf-8"))
        name, script = path.parent.name, path.parent / declared["scriptFile"]
        function = load_function(name, str(path.parent), str(script), declared.get("entryPoint"))
        metadata = types.SimpleNamespace(
            name=name,
            directory=str(path.parent),
            bindings={binding["name"]: _binding(binding) for binding in declared["bindings"]},
        )
        registry.add_function(name, function, metadata, _protos())
        loaded.append(name)
    outside = [
        module.__file__
        for module in list(sys.modules.values())
        if (getattr(module, "__file__", None) or "").find("site-packages") > 0
        and not str(module.__file__).startswith(str(site_packages))
    ]
    assert not outside, outside
    print(json.dumps(loaded))


def _binding(declared: dict[str, Any]) -> types.SimpleNamespace:
    return types.SimpleNamespace(
        type=declared["type"], direction=Direction[declared["direction"].upper()], data_type=None
    )


def _protos() -> types.SimpleNamespace:
    return types.SimpleNamespace(
        BindingInfo=types.SimpleNamespace(
            **{direction.name.lower(): direction for direction in Direction}, undefined=None
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
