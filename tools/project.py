"""Facts about the project that several tools need: where it lives, which version it is.

Standard library only, and no part of it that a Python before 3.11 lacks: the bootstrap, which
tells of such a Python, reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The repository's name. `python -m tools repository OWNER/NAME` changes it here, in the Deploy
# buttons and pages, and in the template that is made from it.
REPOSITORY = "sentinel-connectors/security-log-connectors"


def version() -> str:
    """The version in pyproject.toml, like ``1.0.0``; a release's tag is it with a ``v``."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def names_in_words(names: Sequence[str], joint: str = "and") -> str:
    """Names as a sentence lists them: ``a, b and c``."""
    return f" {joint} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
