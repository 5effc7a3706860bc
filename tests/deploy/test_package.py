"""released-package.zip: what is in it, that it is the same each time, and that it runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import package, project

LOADER = Path(__file__).with_name("load_package.py")
RENDERER = Path(__file__).with_name("render_page.py")
FUNCTIONS = sorted(path.parent.name for path in project.ROOT.glob("*/function.json"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package of this working tree; needs the packages' index."""
    path = tmp_path_factory.mktemp("package") / "released-package.zip"
    try:
        package.build(path)
    except package.PackageError as error:
        if "No matching distribution" in str(error) or "connection" in str(error).lower():
            pytest.skip("the package index cannot be reached")
        raise
    return path


def python_313() -> str | None:
    """Return an interpreter of the app's Python version, None where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates: Iterator[str | None] = iter(
        [
            *(str(p) for p in sorted(pyenv.glob("versions/3.13*/bin/python3.13"), reverse=True)),
            shutil.which("python3.13"),
        ]
    )
    for candidate in candidates:
        if candidate and _is_313(candidate):
            return candidate
    return None


def _is_313(interpreter: str) -> bool:
    command = [interpreter, "-c", "import sys; print(sys.version_info[:2] == (3, 13))"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() == "True"


@pytest.mark.slow
def test_the_package_has_the_app_and_nothing_beside_it(built: Path) -> None:
    """Functions, shared code and dependencies; no tests, tools, local world, docs or secrets."""
    with zipfile.ZipFile(built) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    assert top == {
        *FUNCTIONS,
        ".python_packages",
        "LICENSE",
        "host.json",
        "requirements.txt",
        "shared",
    }
    assert names == sorted(names)
    assert not [name for name in names if re.search(r"\.pyc$|/tests?/|settings\.json$", name)]
    assert built.stat().st_size < 15_000_000


@pytest.mark.slow
def test_the_functions_load_with_nothing_else_on_the_path(built: Path, tmp_path: Path) -> None:
    """The functions load on the target's Python with the package's dependencies alone."""
    python = python_313()
    if python is None:
        pytest.skip("this machine has no Python 3.13")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path)
    command = [python, "-I", "-S", "-B", str(LOADER), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == FUNCTIONS


@pytest.mark.slow
def test_the_page_renders_on_the_targets_python(built: Path, tmp_path: Path) -> None:
    """Templates, Jinja2 and all that the page needs are in the package."""
    python = python_313()
    if python is None:
        pytest.skip("this machine has no Python 3.13")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path)
    assert rendered(python, tmp_path, tmp_path / package.SITE_PACKAGES) == []


def test_the_page_renders_from_the_packages_own_files(tmp_path: Path) -> None:
    """The app's files of the package, unpacked elsewhere, give the whole page."""
    path = tmp_path / "app.zip"
    package.write_zip(path, {name: source.read_bytes() for name, source in package.app_files()})
    app = tmp_path / "app"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(app)
    dependencies = Path(sysconfig.get_paths()["purelib"])
    assert rendered(sys.executable, app, dependencies) == []


def rendered(python: str, app: Path, site_packages: Path) -> list[str]:
    """Render the page of ``app`` without a setting; return the marks that it lacks."""
    command = [python, "-I", "-S", "-B", str(RENDERER), str(app), str(site_packages)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    assert done.returncode == 0, done.stderr
    marks = (
        "<!DOCTYPE html>",
        "--ground: #f3f5f8",
        '<h2 id="look">What needs a look</h2>',
        '<h2 id="delivery">Delivery</h2>',
        '<button name="test" value="all" class="first">Test all</button>',
        "</html>",
    )
    return [mark for mark in marks if mark not in done.stdout]


def test_an_archive_depends_on_its_contents_alone(tmp_path: Path) -> None:
    """Order and time of the build do not matter: the same entries give the same bytes."""
    entries = {"b/two.py": b"print(2)\n", "a/one.py": b"print(1)\n"}
    one, other = tmp_path / "one.zip", tmp_path / "other.zip"
    package.write_zip(one, entries)
    package.write_zip(other, dict(reversed(entries.items())))
    assert one.read_bytes() == other.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_lock_is_read_for_the_target_and_not_for_this_machine() -> None:
    """A pin for another Python or another system is skipped; the hashes are kept."""
    lock = (
        "# a comment\n"
        "azure-functions==1.26.0 ; python_full_version < '3.13' \\\n    --hash=sha256:aa\n"
        "azure-functions==2.3.0 ; python_full_version >= '3.13' \\\n"
        "    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
        "colorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash=sha256:dd\n"
    )
    assert package.read_lock(lock) == {
        "azure-functions": "azure-functions==2.3.0 --hash=sha256:bb --hash=sha256:cc\n"
    }


def test_everything_that_is_required_is_pinned_by_a_hash() -> None:
    """Every dependency has an exact version and a hash."""
    for line in package.read_lock(package.LOCK.read_text(encoding="utf-8")).values():
        assert "==" in line
        assert "--hash=sha256:" in line


def test_a_wheel_is_laid_out_as_installed(tmp_path: Path) -> None:
    """Code from .data folders goes beside the rest; scripts, types and records are skipped."""
    wheel = tmp_path / "thing-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in (
            "thing/__init__.py",
            "thing/__init__.pyi",
            "thing/tests/test_thing.py",
            "thing-1.data/purelib/extra.py",
            "thing-1.data/scripts/thing",
            "thing-1.dist-info/METADATA",
            "thing-1.dist-info/RECORD",
        ):
            archive.writestr(name, b"x")
    assert sorted(
        name.removeprefix(".python_packages/lib/site-packages/")
        for name, _ in package.wheel_files(wheel)
    ) == [
        "extra.py",
        "thing-1.dist-info/METADATA",
        "thing/__init__.py",
    ]
