"""Build released-package.zip: the app and its dependencies, ready to run on Flex Consumption.

The build is reproducible from a commit: files are those that git tracks, dependencies are the
wheels that requirements-dev.lock pins by hash for Python 3.13 on x86-64 Linux, names are sorted,
times are fixed. (Another zlib may compress to other bytes of the same contents.)
https://learn.microsoft.com/azure/azure-functions/python-build-options
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import project

PACKAGE = project.ROOT / "released-package.zip"
LOCK = project.ROOT / "requirements-dev.lock"
SITE_PACKAGES = PurePosixPath(".python_packages/lib/site-packages")
PYTHON = "3.13"
# Platform tags of the app's host: https://learn.microsoft.com/azure/azure-functions/functions-reference-python
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_TARGET = {
    "implementation_name": "cpython",
    "implementation_version": f"{PYTHON}.0",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": f"{PYTHON}.0",
    "python_version": PYTHON,
    "sys_platform": "linux",
}
# Files of wheels that the app does not read at run time.
_EXCLUDED = re.compile(
    r"(^|/)(tests?|testing)/|\.(pyi|pyx|pxd|c|h|exe)$|\.dist-info/(RECORD|WHEEL)$"
)
_EPOCH = (1980, 1, 1, 0, 0, 0)


class PackageError(Exception):
    """The package cannot be built; the message says why."""


def build(path: Path = PACKAGE) -> str:
    """Write the package to ``path``; return its SHA-256 in hex. Raises ``PackageError``."""
    with tempfile.TemporaryDirectory() as folder:
        wheels = download(Path(folder))
        entries = {name: source.read_bytes() for name, source in app_files()}
        for wheel in wheels:
            entries.update(wheel_files(wheel))
        write_zip(path, entries)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def app_files(root: Path = project.ROOT) -> Iterator[tuple[str, Path]]:
    """Yield the app's own files by name in the package: tracked by git, and read at run time."""
    tracked = _run(["git", "-C", str(root), "ls-files", "-z"]).split("\0")
    functions = {str(PurePosixPath(name).parent) for name in tracked if is_function(name)}
    for name in sorted(filter(None, tracked)):
        if name in ("host.json", "requirements.txt", "LICENSE") or (
            PurePosixPath(name).parts[0] in {*functions, "shared"}
            and PurePosixPath(name).suffix in (".py", ".json", ".css", ".html")
        ):
            yield name, root / name


def is_function(name: str) -> bool:
    """Return whether a tracked file makes its folder a function."""
    parts = PurePosixPath(name).parts
    return len(parts) == 2 and parts[1] == "function.json"


# ---- dependencies


def download(folder: Path) -> list[Path]:
    """Download the locked wheels of requirements.txt and their dependencies to ``folder``.

    pip evaluates markers for the Python that it runs on, not for the target: resolve here instead,
    level by level, from the metadata of each wheel. Raises ``PackageError``.
    """
    locked = read_lock(LOCK.read_text(encoding="utf-8"))
    wanted = _names(_requirements(project.ROOT / "requirements.txt"))
    resolved: set[str] = set()
    while missing := sorted(wanted - resolved):
        level = folder / "level.txt"
        level.write_text("".join(_locked(name, locked) for name in missing), encoding="utf-8")
        before = set(folder.glob("*.whl"))
        _run([*_pip_download(), "--dest", str(folder), "-r", str(level)])
        resolved |= set(missing)
        for wheel in set(folder.glob("*.whl")) - before:
            wanted |= _names(_requires(wheel))
    return sorted(folder.glob("*.whl"))


def _pip_download() -> list[str]:
    platforms = [f"--platform={platform}" for platform in _PLATFORMS]
    return [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--require-hashes", "--only-binary=:all:"),
        *(f"--python-version={PYTHON}", "--implementation=cp", "--abi=cp313", "--abi=abi3"),
        *("--abi=none", *platforms),
    ]


def read_lock(text: str) -> dict[str, str]:
    """Parse a lock; return the target's lines by name, with hashes, without markers."""
    lines = {}
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if not line or line.startswith(("#", " ", "-")):
            continue
        pinned, *hashes = line.split(" --hash=")
        requirement = Requirement(pinned.strip())
        if requirement.marker is None or requirement.marker.evaluate({**_TARGET, "extra": ""}):
            pin = f"{requirement.name}{requirement.specifier}"
            lines[canonicalize_name(requirement.name)] = (
                " --hash=".join([pin, *(text.strip() for text in hashes)]) + "\n"
            )
    return {str(name): line for name, line in lines.items()}


def _locked(name: str, locked: dict[str, str]) -> str:
    if name not in locked:
        raise PackageError(f"{LOCK.name} does not pin {name}: run python -m tools lock")
    return locked[name]


def _requirements(path: Path) -> Iterator[Requirement]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if text := line.split("#")[0].strip():
            yield Requirement(text)


def _requires(wheel: Path) -> Iterator[Requirement]:
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        headers = HeaderParser().parsestr(archive.read(name).decode())
    for text in headers.get_all("Requires-Dist", []):
        yield Requirement(text)


def _names(requirements: Iterable[Requirement]) -> set[str]:
    return {
        str(canonicalize_name(requirement.name))
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({**_TARGET, "extra": ""})
    }


def wheel_files(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """Yield a wheel's files by their installed path; skip scripts and headers."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            installed = name
            if match := re.match(r"[^/]+\.data/(purelib|platlib|[^/]+)/(.+)", name):
                if match[1] not in ("purelib", "platlib"):
                    continue
                installed = match[2]
            if not name.endswith("/") and not _EXCLUDED.search(installed):
                yield str(SITE_PACKAGES / installed), archive.read(name)


# ---- the archive


def write_zip(path: Path, entries: dict[str, bytes]) -> None:
    """Write an archive whose bytes depend on ``entries`` alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(entries):
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3  # Unix, on every build machine
            info.external_attr = 0o100644 << 16
            archive.writestr(info, entries[name])


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PackageError(f"{' '.join(command[:4])} … failed:\n{done.stderr.strip()}")
    return done.stdout


def main(argv: Sequence[str]) -> int:
    """``package [--output PATH]``: build it, and write its checksum beside it."""
    parser = argparse.ArgumentParser(prog="python3 -m tools package", description=__doc__)
    parser.add_argument("--output", type=Path, default=PACKAGE)
    path: Path = parser.parse_args(argv).output
    try:
        checksum = build(path)
    except PackageError as error:
        print(error, file=sys.stderr)
        return 1
    checksum_file = path.with_name(path.name + ".sha256")
    checksum_file.write_text(f"{checksum}  {path.name}\n", encoding="utf-8")
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB), SHA-256 {checksum}")
    return 0
