"""Remove fields that hold a vendor's secrets, at any depth."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

# A JSON key may be escaped (\u0072egistrationToken): look for escapes too, or redaction misses it.
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")


class Redactor:
    """Find and remove the fields named ``fields``."""

    def __init__(self, fields: Iterable[str]) -> None:
        self._fields = frozenset(fields)
        self._marks = tuple(f'"{name}"'.encode() for name in sorted(self._fields))

    def may_be_in(self, body: bytes) -> bool:
        """Return whether JSON may have such a field: False is certain, True is not."""
        if any(mark in body for mark in self._marks):
            return True
        return bool(self._marks) and b"\\" in body and _ESCAPED_LETTER.search(body) is not None

    def without(self, value: Any) -> Any:
        """Return a decoded value without these fields."""
        if isinstance(value, dict):
            return {k: self.without(v) for k, v in value.items() if k not in self._fields}
        if isinstance(value, list):
            return [self.without(item) for item in value]
        return value
