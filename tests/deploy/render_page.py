"""Render the status page of an unzipped package, by its own code and templates.

Run by an interpreter that has nothing else on its path (``python -I -S render_page.py FOLDER
SITE_PACKAGES``). Prints the page that a browser gets; any fault ends it.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(folder: Path, site_packages: Path) -> None:
    """Answer a browser's GET; ``folder`` is the root of the app."""
    sys.path[:0] = [str(folder), str(site_packages)]
    from shared.status import handler, page

    assert Path(page.__file__).is_relative_to(folder), page.__file__
    answered = handler.answer("GET", {}, "text/html", b"")
    assert (answered.status, answered.mimetype) == (200, "text/html")
    sys.stdout.buffer.write(answered.body)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
