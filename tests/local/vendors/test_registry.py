"""The vendors of the demo are those whose modules are there, and no other module names one."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from local.vendors.registry import vendors
from tests.local.project_copy import copy_project, remove_vendor, run_python
from tools.project import ROOT

SHOW = "import json; from local.vendors.registry import vendors; "
SHOW += "print(json.dumps([vendor.name for vendor in vendors()]))"
ACME = """
from contextlib import nullcontext
from local.vendors.onelogin_traffic import OneLoginAccount
from local.vendors.vendor import Vendor

VENDOR = Vendor("Acme", "AcmeTimer", "Acme", (), lambda port: nullcontext(OneLoginAccount()))
"""
PRODUCTS = re.compile("SentinelOne|OneLogin|Jira|TrapEye", re.IGNORECASE)


def test_each_vendor_names_a_function_of_the_app() -> None:
    """A timer that is ticked, or a webhook that is posted to."""
    for vendor in vendors():
        assert (ROOT / vendor.function / "function.json").is_file()
    assert len({vendor.name for vendor in vendors()}) == len(vendors()) > 0


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_a_module_added_or_removed_adds_or_removes_a_vendor(tmp_path: Path) -> None:
    """Acme's file is all that it needs, and the others do without Jira's."""
    project = copy_project(tmp_path / "project")
    assert json.loads(run_python(project, SHOW)) == ["SentinelOne", "Jira", "OneLogin"]
    remove_vendor(project, "jira")
    (project / "local" / "vendors" / "acme.py").write_text(ACME, encoding="utf-8")
    assert json.loads(run_python(project, SHOW)) == ["SentinelOne", "OneLogin", "Acme"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
@pytest.mark.parametrize("kept", ["sentinelone", "jira", "onelogin"])
def test_each_vendor_does_without_the_others(tmp_path: Path, kept: str) -> None:
    """No vendor's modules import another's."""
    project = copy_project(tmp_path / "project")
    for name in {"sentinelone", "jira", "onelogin"} - {kept}:
        remove_vendor(project, name)
    names = json.loads(run_python(project, SHOW))
    assert [name.lower() for name in names] == [kept]


def test_nothing_else_in_local_names_a_vendor() -> None:
    """The demo and every command find the vendors in their registries."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "local").rglob("*.py"))
        if path.parent.name != "vendors"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if PRODUCTS.search(line)
    ]
    assert found == []
