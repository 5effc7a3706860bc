"""A copy of the project in which local/vendors and functions can be changed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tools.project import ROOT


def copy_project(to: Path, *functions: str) -> Path:
    """Copy local/, tools/ and the functions, and link to all the rest; return the copy's folder."""
    copied = {"local", "tools", *functions}  # tools/ knows the project's folder by its own
    to.mkdir()
    for entry in ROOT.iterdir():
        if entry.name in copied:
            shutil.copytree(entry, to / entry.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif entry.name not in {".local", ".git"}:
            (to / entry.name).symlink_to(entry, target_is_directory=entry.is_dir())
    return to


def remove_vendor(project: Path, name: str) -> None:
    """Remove a vendor's modules from the copy."""
    for path in (project / "local" / "vendors").glob(f"{name}*.py"):
        path.unlink()


def run_python(project: Path, code: str, *arguments: str) -> str:
    """Run code in a process of the copy; return what it prints. Fails unless it exits with 0."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
