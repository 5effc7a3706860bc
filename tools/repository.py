"""Name the repository: rewrite the Deploy buttons, the commands and the template for a new one.

``tools/project.py`` has the name; pages that people click on repeat it, plain and in encoded
addresses.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from tools import project

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/[A-Za-z0-9._-]{1,100}")


def rename(root: Path, old: str, new: str) -> list[Path]:
    """Write ``new`` in place of the repository ``old``; return the files that changed.

    Leave the rest of a page alone: the name of the folder alone is not the repository's.
    """
    changed = []
    for path in _pages(root):
        text = path.read_text(encoding="utf-8")
        renamed = text.replace(old, new).replace(quote(old, safe=""), quote(new, safe=""))
        if renamed != text:
            path.write_text(renamed, encoding="utf-8")
            changed.append(path)
    return changed


def _pages(root: Path) -> Iterator[Path]:
    yield root / "tools" / "project.py"
    yield from sorted(root.glob("*.md"))
    yield from sorted((root / "docs").glob("*.md"))


def main(argv: Sequence[str] | None = None) -> int:
    """Rewrite the pages, then what is generated from them. 0 is good."""
    parser = argparse.ArgumentParser(prog="python3 -m tools repository", description=__doc__)
    parser.add_argument("name", metavar="OWNER/NAME", help="like acme/security-logs")
    name: str = parser.parse_args(argv).name
    if not _NAME.fullmatch(name):
        parser.error(f"{name!r} is no OWNER/NAME of a repository on GitHub")
    for path in rename(project.ROOT, project.REPOSITORY, name):
        print(path.relative_to(project.ROOT))
    generate = [sys.executable, "-m", "tools", "generated", "--fix"]
    return subprocess.run(generate, cwd=project.ROOT, check=False).returncode
