"""Jinja2 costs a start of the page alone."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from collections.abc import Sequence

import pytest

import shared
from tools.project import ROOT

FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("*/function.json"))
OTHER_MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(shared.__path__, "shared.")
    if not f"{module.name}.".startswith("shared.status.")
)


def loads_jinja(modules: Sequence[str]) -> bool:
    """Import ``modules`` in a fresh interpreter, and see whether Jinja2 came with them."""
    code = (
        "import importlib, json, sys\n"
        "for name in json.loads(sys.argv[1]): importlib.import_module(name)\n"
        "print('jinja2' in sys.modules)"
    )
    command = [sys.executable, "-c", code, json.dumps(modules)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip() == "True"


@pytest.mark.parametrize("modules", [FUNCTIONS, OTHER_MODULES], ids=["functions", "shared"])
def test_nothing_but_the_page_imports_jinja(modules: Sequence[str]) -> None:
    """Neither a function, Status among them until it is asked, nor any other folder of shared."""
    assert len(modules) > 4
    assert not loads_jinja(modules)


def test_the_page_imports_jinja() -> None:
    """The test above can fail."""
    assert loads_jinja(["shared.status.handler"])
