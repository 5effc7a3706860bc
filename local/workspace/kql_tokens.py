"""The tokens of a KQL text, and the brackets among them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*)
      | (?P<string>h?@'(?:[^']|'')*' | h?@"(?:[^"]|"")*"
          | h?'(?:[^'\\\n]|\\.)*' | h?"(?:[^"\\\n]|\\.)*" | ```.*?```)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<number>\d\w*(?:\.\d\w*)?)
      | (?P<space>\s+)
      | (?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)
_NESTING = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


@dataclass(frozen=True, slots=True)
class Token:
    """A word, string, number or mark of a query, and where it starts (characters)."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """The place after its last character."""
        return self.start + len(self.text)

    @property
    def nesting(self) -> int:
        """1 for a bracket that opens, -1 for one that closes, 0 for all others."""
        return _NESTING.get(self.text, 0) if self.kind == "mark" else 0


def tokens(kql: str) -> list[Token]:
    """The query's tokens without comments and white space."""
    found = []
    for match in _TOKEN.finditer(kql):
        kind = match.lastgroup or "mark"
        if kind not in ("comment", "space"):
            found.append(Token(kind, match.group(), match.start()))
    return found


def place(kql: str, at: int) -> tuple[int, int]:
    """The line and column of a character, both counted from 1."""
    return kql.count("\n", 0, at) + 1, at - kql.rfind("\n", 0, at)


def unquoted(token: Token) -> str:
    """The text of a string token without escapes."""
    return token.text.lstrip("h@").strip("'\"")


def closing(found: Sequence[Token], opened: int) -> int | None:
    """The index of the bracket that closes the one at ``opened``; None where none does."""
    depth = 0
    for index in range(opened, len(found)):
        depth += found[index].nesting
        if depth == 0:
            return index
    return None


def split(found: Sequence[Token]) -> list[list[Token]]:
    """The tokens between the commas that are in no bracket; without the empty stretches."""
    parts, depth = [list[Token]()], 0
    for token in found:
        depth += token.nesting
        if depth == 0 and token.kind == "mark" and token.text == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]
