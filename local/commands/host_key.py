"""The local app's function key: kept beside its storage, so that commands and people can ask it."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

NAME = "function-key"


def host_key(folder: Path) -> str:
    """The key of the app in ``folder``, made at its first start; its owner alone may read it."""
    if key := read_key(folder):
        return key
    folder.mkdir(parents=True, exist_ok=True)
    key = secrets.token_urlsafe(24)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(folder / NAME, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(key)
    return key


def read_key(folder: Path) -> str:
    """The key of the app that was started in ``folder``; '' before its first start."""
    with contextlib.suppress(FileNotFoundError):
        return (folder / NAME).read_text(encoding="utf-8").strip()
    return ""
