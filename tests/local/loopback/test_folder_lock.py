"""One command a folder: a second one is told whose it is, and a kill releases the lock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.loopback.folder_lock import FolderInUse, hold_folder
from tools.project import ROOT

HOLD = """
import sys
from pathlib import Path
from local.loopback.folder_lock import hold_folder
with hold_folder(Path(sys.argv[1]), "python3 -m tools demo"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the folder until its standard input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_in_use_is_told_with_its_owner(tmp_path: Path) -> None:
    """Process, command and time; afterwards the folder is free."""
    process = holder(tmp_path)
    with pytest.raises(FolderInUse) as refused, hold_folder(tmp_path, "x"):
        pass
    for words in (f"process {process.pid}", "python3 -m tools demo", "since", "--folder"):
        assert words in str(refused.value)
    process.communicate()
    with hold_folder(tmp_path, "x"):
        assert str(os.getpid()) in (tmp_path / "in-use.json").read_text(encoding="utf-8")


def test_a_kill_releases_the_folder(tmp_path: Path) -> None:
    """The note that the killed process left is no lock."""
    process = holder(tmp_path)
    process.kill()
    process.communicate()
    with hold_folder(tmp_path, "x"):
        pass
