"""The layers of shared/ and local/: imports between folders go one way, as the tables declare."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from shared.connections.registry import connectors
from shared.settings.app import HEALTH_RULE
from tools.content import load_tables
from tools.project import ROOT

# Folder -> the folders that it may import. A row names only rows above it, so no circle fits in.
BASE = "errors runtime records"
SHARED = {
    "errors": "",
    "runtime": "errors",
    "records": "errors runtime",
    "http": BASE,
    "azure": f"{BASE} http",
    "telemetry": BASE,
    "settings": f"{BASE} azure",
    "state": f"{BASE} azure telemetry",
    "source": f"{BASE} http settings",
    "connectors": f"{BASE} settings source",
    "connections": f"{BASE} settings source connectors",
    "delivery": f"{BASE} http azure telemetry settings state",
    "health": f"{BASE} telemetry settings state source delivery",
    "webhook": f"{BASE} telemetry settings state source connections delivery health",
    "polling": f"{BASE} azure telemetry settings state source connections delivery health",
    "diagnostics": f"{BASE} http telemetry settings state source connections delivery health",
    "status": f"{BASE} telemetry settings state source connections delivery polling diagnostics",
}
LOCAL = {
    "loopback": "",
    "workspace": "",
    "azure": "loopback",
    "host": "loopback",
    "vendors": "loopback",
    "world": "loopback workspace azure host",
    "commands": "loopback workspace host vendors world",
    "demo": "loopback workspace host vendors world commands",
}
LAYERS: Mapping[str, Mapping[str, str]] = {"shared": SHARED, "local": LOCAL}
LOOSE_FILES = {"shared": {"__init__.py", "errors.py"}, "local": {"__init__.py", "world.py"}}
# Where a vendor may be named.
VENDORS_OWN = ("shared/connectors", "local/vendors")
PROJECT = {"shared", "local", "tools", "tests", "bench"}
OUTSIDE = {"shared": set(), "local": {"shared", "tools"}}

# Of shared/settings a connector sees how a setting is declared and checked; app and key_vault know
# Azure.
DECLARATIONS = {"shared.settings.checks", "shared.settings.setting"}


def modules(package: str) -> dict[str, Path]:
    """The modules of a top-level package by their dotted names."""
    paths = sorted((ROOT / package).rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return {n.removesuffix(".__init__"): path for n, path in zip(names, paths, strict=True)}


def imports(path: Path) -> Iterator[str]:
    """Every name that a file imports anywhere: in functions and for type checking too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by the full name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def folder(name: str) -> str:
    """The folder of a dotted name below its top-level package; "" for the package itself."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def arrows(package: str) -> Iterator[tuple[str, str]]:
    """Each import of the project's own code: the module that imports, and the name imported."""
    for module, path in modules(package).items():
        for name in imports(path):
            if name.partition(".")[0] in PROJECT:
                yield module, name


@pytest.mark.parametrize("package", LAYERS)
def test_there_are_no_loose_files(package: str) -> None:
    """Beside its folders a package holds what names it, and what everything stands on."""
    assert {path.name for path in (ROOT / package).glob("*.py")} == LOOSE_FILES[package]


@pytest.mark.parametrize("package", LAYERS)
def test_every_folder_has_a_row_that_names_only_rows_above_it(package: str) -> None:
    """So the declared arrows have no circle."""
    rows, above = LAYERS[package], set[str]()
    for name, allowed in rows.items():
        assert set(allowed.split()) <= above, name
        above.add(name)
    folders = {folder(module) for module in modules(package)} - {""}
    assert folders == rows.keys()


@pytest.mark.parametrize("package", LAYERS)
def test_imports_follow_the_declared_arrows(package: str) -> None:
    """A folder imports itself, those of its row, and outside of the package what is allowed."""
    wrong = []
    for module, name in arrows(package):
        top, target = name.partition(".")[0], folder(name)
        if top != package:
            allowed = top in OUTSIDE[package]
        else:
            row = LAYERS[package].get(folder(module), "").split()
            # A name of the package itself, as VERSION, is no folder.
            allowed = target in row or target in (folder(module), "") or target.isupper()
        if not allowed:
            wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_connectors_see_how_settings_are_declared_and_not_where_they_are_read() -> None:
    """A connector is handed its settings, so that importing one loads nothing of Azure."""
    wrong = [
        f"{module} imports {name}"
        for module, name in arrows("shared")
        if folder(module) in {"connectors", "source"}
        and folder(name) == "settings"
        and not {name, name.rpartition(".")[0]} & DECLARATIONS
    ]
    assert wrong == []


@pytest.mark.parametrize("package", LAYERS)
def test_every_folder_says_in_a_sentence_what_it_is(package: str) -> None:
    """In its package's docstring: one line, one full stop at its end."""
    for name, path in modules(package).items():
        if path.name != "__init__.py" or name == package:
            continue
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert text.split("\n")[0].endswith("."), name
        assert ". " not in text.split("\n")[0], name


@pytest.mark.parametrize("package", LAYERS)
def test_the_guide_has_a_line_for_every_folder(package: str) -> None:
    """docs/contributing.md shows each folder with its docstring's sentence, bottom to top."""
    guide = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
    places = []
    for name in LAYERS[package]:
        path = ROOT / package / name / "__init__.py"
        if path.is_file():
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            places.append(guide.find(f"| `{package}/{name}/` | {text.splitlines()[0]} |"))
    assert -1 not in places
    assert places == sorted(places)


def test_no_vendor_is_named_outside_its_own_files() -> None:
    """A connector declares itself, so that another needs no list to be changed."""
    names = {connector.name for connector in connectors()}
    names |= {table.connector for table in load_tables() if table.rule_setting != HEALTH_RULE}
    vendor = re.compile("|".join(map(re.escape, sorted(names))), re.IGNORECASE)
    paths = (path for folder in ("shared", "tools", "local") for path in (ROOT / folder).rglob("*"))
    code = [path for path in paths if path.suffix in {".py", ".html", ".css"}]
    named = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in code
        if not any(path.is_relative_to(ROOT / own) for own in VENDORS_OWN)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if vendor.search(line)
    ]
    assert len(names) >= 4
    assert len(code) > 100
    assert named == []


def test_the_projects_folder_is_computed_in_one_place() -> None:
    """tools/project.py; shared/ stands alone in Azure and has its own way to host.json."""
    computed = re.compile(r"__file__\)[\w.()]*\.parent(s\[|\.parent)")
    found = {
        name
        for package in PROJECT
        for name, path in modules(package).items()
        if computed.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"tools.project", "shared.polling.budget"}
