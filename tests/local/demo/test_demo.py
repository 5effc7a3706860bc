"""The demo, as a person runs it: everything arrives, and again only what is new."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from local.commands.query import WORKSPACE
from local.demo.demo import main
from local.loopback.folder_lock import hold_folder
from local.vendors.registry import vendors
from local.workspace.workspace import Workspace
from tests.local.project_copy import copy_project, remove_vendor, run_python
from tools.project import ROOT

RUN = "import sys; from local.demo.demo import main; sys.exit(main(sys.argv[1:]))"
CELLS = re.compile(r"\s{2,}")
LABELS = {
    f"{stream.label}, {name}" if name else stream.label
    for vendor in vendors()
    for name in vendor.connections
    for stream in vendor.streams
}
TOLD = re.compile(
    r"says: OneLogin's API lists (\d+) events, and posts brought (\d+) of them .*\n"
    r".*fetch=…&hour=(\S+): (\d+) events of .* Posts had brought (\d+) of that hour"
)


def show(folder: Path, project: Path = ROOT) -> str:
    """One run in its own process; gives what it prints."""
    shown = run_python(project, RUN, "--folder", str(folder), "--size", "0.05")
    assert "Everything arrived." in shown
    return shown


def run(folder: Path, project: Path = ROOT) -> dict[str, list[str]]:
    """One run in its own process; gives the table's cells by stream."""
    return cells_of(show(folder, project))


def cells_of(shown: str) -> dict[str, list[str]]:
    lines = [CELLS.split(line.strip()) for line in shown.splitlines()]
    return {line[0]: line[1:] for line in lines if len(line) == 7 and line[1].isdigit()}


@pytest.mark.slow
def test_a_second_run_sends_only_what_is_new(tmp_path: Path) -> None:
    """Nothing is lost or there twice after either run, and the second sends far less."""
    shown = show(tmp_path)
    first, second = cells_of(shown), run(tmp_path)
    for table in (first, second):
        assert table.keys() == LABELS
        for had, arrived, lost, twice, behind, _ in table.values():
            assert (arrived, lost, twice) == (had, "0", "0")
            assert behind in {"0.0", "-"}
    sent = [
        sum(int(cells[-1].replace(",", "")) for cells in table.values())
        for table in (first, second)
    ]
    assert sent[0] > 500
    assert sent[1] < sent[0] / 2
    assert second["SentinelOne Groups"][-1] == second["SentinelOne Groups, emea"][-1] == "0"
    assert "SentinelOneTimer: " in shown
    assert shown.count("2 connections handed out") == 4
    assert_told_and_fetched(shown, tmp_path)


def assert_told_and_fetched(shown: str, folder: Path) -> None:
    """Posts that never came: both numbers, a health row, and the hour's events by the API."""
    gone = re.search(r"gives up (\d+) events?", shown)
    told = TOLD.search(shown)
    assert gone
    assert told
    listed, posted, hour, came, brought = told.groups()
    assert int(listed) - int(posted) == int(gone[1]) > 0
    assert (came, brought) == (listed, posted)
    workspace = Workspace(folder / WORKSPACE.name)
    try:
        late = "ConnectorHealth_CL | where Status == 'late' and Message has 'posts brought'"
        (row,) = workspace.query(late).dicts()
        assert f"{hour}: {listed} listed, {posted} posted" in row["Message"]
        fetched = workspace.query("OneLogin_CL | where isnotnull(id_d)").dicts()
    finally:
        workspace.close()
    assert len({each["id_d"] for each in fetched}) == len(fetched) == int(came)


@pytest.mark.parametrize("size", ["-1", "0", "nan"])
def test_a_size_that_cannot_be_is_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is started for it."""
    with pytest.raises(SystemExit):
        main(["--size", size])
    assert "must be over 0" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--fresh"]], ids=["again", "fresh"])
def test_a_second_demo_on_a_folder_touches_nothing(
    tmp_path: Path, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the command that has it; tables and state of that one stay as they are."""
    tables = tmp_path / "workspace.duckdb"
    tables.write_bytes(b"tables")
    with hold_folder(tmp_path, "python3 -m tools start"):
        assert main(["--folder", str(tmp_path), *more]) == 1
    assert "in use by python3 -m tools start (process" in capsys.readouterr().err
    assert tables.read_bytes() == b"tables"
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_demo_that_is_kept_goes_on(tmp_path: Path) -> None:
    """The status page answers, events happen, Ctrl+C ends it; nothing comes twice but by a reset.

    The next run does not take the rows of a stream that was reset on the page for a fault.
    """
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); " + RUN
    options = ["--folder", str(tmp_path), "--size", "0.05", "--keep"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    page = 0
    for line in process.stdout:
        if found := re.search(r"the status page +(\S+)", line):
            page = requests.get(found[1], timeout=30).status_code
            reset = {"reset": "SentinelOne", "stream": "activities"}
            assert requests.post(found[1], params=reset, timeout=30).status_code == 200
        if re.search(r"[1-9]\d* events? posted", line):
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert (page, process.returncode) == (200, 0)
    again = run(tmp_path)
    assert int(again.pop("SentinelOne Activities")[3]) > 0
    assert {cells[2:4] == ["0", "0"] for cells in again.values()} == {True}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("ending", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_an_interrupted_run_is_gone_on_from(tmp_path: Path, ending: str) -> None:
    """It ends without a traceback; the next run explains repeats, and later ones have none."""
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); " + RUN
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code, "--folder", str(tmp_path), "--size", "0.05"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "SentinelOneTimer" in line:
            break
    process.send_signal(signal.Signals[ending])
    rest = process.communicate(timeout=20)[0]
    assert "Traceback" not in rest
    for _ in range(2 if ending == "SIGKILL" else 1):
        shown = run_python(ROOT, RUN, "--folder", str(tmp_path), "--size", "0.05")
        assert "Everything arrived." in shown
        assert "should not be" not in shown
    assert "twice:" not in shown or ending != "SIGKILL"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_a_vendor_comes_and_goes_with_its_files(tmp_path: Path) -> None:
    """Between two runs Acme's file is added and OneLogin's are removed; Acme starts with a week."""
    project = copy_project(tmp_path / "project")
    acme = project / "local" / "vendors" / "jira_traffic.py"
    text = acme.read_text(encoding="utf-8")
    acme.unlink()
    jira, onelogin = {"Jira audit", "Jira audit, emea"}, {"OneLogin"}
    assert run(tmp_path / "demo", project).keys() == LABELS - jira
    text = text.replace('NAME = "Jira"', 'NAME = "Acme"').replace('"Jira audit"', '"Acme audit"')
    acme.with_name("acme.py").write_text(text, encoding="utf-8")
    remove_vendor(project, "onelogin")
    second = run(tmp_path / "demo", project)
    acme_labels = {"Acme audit", "Acme audit, emea"}
    assert second.keys() == (LABELS | acme_labels) - jira - onelogin
    assert int(second["Acme audit"][0]) > 50
