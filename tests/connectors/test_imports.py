"""What importing a connector loads: nothing of Azure, storage, delivery or polling."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from shared.connections.registry import connectors
from tools.project import ROOT

ALLOWED = ("connectors", "errors", "http", "records", "runtime", "settings", "source")


@pytest.mark.parametrize("module", [c.settings.__module__ for c in connectors()])
def test_a_connector_reaches_no_azure(module: str) -> None:
    """In a fresh interpreter, so that nothing is there but what the connector brings."""
    code = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded: list[str] = json.loads(done.stdout)
    assert [name for name in loaded if name.split(".")[0] == "azure"] == []
    own = [name for name in loaded if name.startswith("shared.")]
    assert [name for name in own if name.split(".")[1] not in ALLOWED] == []
    settings = {name for name in own if name.startswith("shared.settings.")}
    assert settings <= {"shared.settings.checks", "shared.settings.setting"}
