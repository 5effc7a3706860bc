"""The demo, as a person runs it: everything arrives, and again only what is new."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.demo.reconcile import STREAMS
from local.host.host import ROOT

RUN = "import sys; from local.demo.demo import main; sys.exit(main(sys.argv[1:]))"
NUMBERS = re.compile(r"\s{2,}")


def run(folder: Path) -> dict[str, list[str]]:
    """One run in a process of its own; gives the table's cells by stream."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, "--folder", str(folder), "--size", "0.05"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything arrived." in done.stdout
    lines = [NUMBERS.split(line.strip()) for line in done.stdout.splitlines()]
    names = {stream.name for stream in STREAMS}
    return {line[0]: line[1:] for line in lines if line[0] in names}


def sent(table: dict[str, list[str]]) -> int:
    """How many records one run sent."""
    return sum(int(cells[-1].replace(",", "")) for cells in table.values())


@pytest.mark.slow
def test_a_second_run_sends_only_what_is_new(tmp_path: Path) -> None:
    """Nothing is lost or there twice after either run, and the second sends far less."""
    first, second = run(tmp_path), run(tmp_path)
    for table in (first, second):
        assert len(table) == len(STREAMS)
        for had, arrived, lost, twice, behind, _ in table.values():
            assert (arrived, lost, twice) == (had, "0", "0")
            assert behind in {"0.0", "-"}
    sent = [
        sum(int(cells[-1].replace(",", "")) for cells in table.values())
        for table in (first, second)
    ]
    assert sent[0] > 500
    assert sent[1] < sent[0] / 2
    assert second["SentinelOne Groups"][-1] == "0"
