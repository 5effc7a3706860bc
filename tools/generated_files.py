"""Files that are made of others: written, or held against what their sources make."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tools.project import ROOT


def write_or_check(
    command: str, about: str | None, make: Callable[[], Mapping[Path, str]], argv: Sequence[str]
) -> int:
    """Write the files that ``make`` returns; with ``--check`` name those that differ. 0 is good.

    ``command`` is the one of ``python -m tools`` that writes them, ``about`` its description.
    """
    parser = argparse.ArgumentParser(prog=f"python3 -m tools {command}", description=about)
    parser.add_argument("--check", action="store_true", help="change nothing, fail on drift")
    check = parser.parse_args(argv).check
    stale = []
    for path, wanted in make().items():
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != wanted:
            stale.append(path.relative_to(ROOT))
    for name in stale:
        print(
            f"{name} is not what its sources make: run `python -m tools {command}`",
            file=sys.stderr,
        )
    return 1 if stale else 0


def between(page: Path, begin: str, end: str, part: str) -> str:
    """The page with ``part`` between its two lines. Raises ``ValueError`` where it lacks them."""
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page.name} lacks the lines {begin!r} and {end!r}")
    return f"{before}{begin}\n{part}\n{end}{after}"
