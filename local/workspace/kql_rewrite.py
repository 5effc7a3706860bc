"""KQL as text: its tokens, and rewrites that keep every character's place.

The engine under the local workspace lacks a few things that Log Analytics has. They are written
into the query in what it does have, always in as many characters, so that the line and column of
an error are those of the query a person typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass

# As many characters as "ingestion_time()", which it takes the place of.
INGESTION_TIME = "__ingestion_time"

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
_OPENING, _CLOSING = "([{", ")]}"
_IF_EXISTS = frozenset({"column_ifexists", "columnifexists"})


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
    """What a string token without escapes says."""
    return token.text.lstrip("h@").strip("'\"")


def with_ingestion_time(kql: str) -> str:
    """``ingestion_time()`` as the column in which the workspace keeps it."""
    found = tokens(kql)
    for name, opened, closed in zip(found, found[1:], found[2:], strict=False):
        if (name.text, opened.text, closed.text) == ("ingestion_time", "(", ")"):
            kql = _put(kql, name.start, closed.end, INGESTION_TIME)
    return kql


def without_calls(kql: str, names: Container[str]) -> str:
    """Parsers called as functions, ``Name()``, by their bare names."""
    found = tokens(kql)
    for name, opened, closed in zip(found, found[1:], found[2:], strict=False):
        if name.text in names and (opened.text, closed.text) == ("(", ")"):
            kql = _put(kql, name.start, closed.end, name.text)
    return kql


def with_names(kql: str, renamed: Mapping[str, str]) -> str:
    """Columns by other names of the same length, where they stand as names or in brackets."""
    found = tokens(kql)
    for index, token in enumerate(found):
        bracketed = token.kind == "string" and index and found[index - 1].text == "["
        bare = token.kind == "name" and not (index and found[index - 1].text == ".")
        name = unquoted(token) if bracketed else token.text
        if (bare or bracketed) and name in renamed:
            kql = _put(kql, token.start, token.end, token.text.replace(name, renamed[name]))
    return kql


def with_existing_columns(
    kql: str, columns_of: Callable[[str], Sequence[str]], renamed: Mapping[str, str]
) -> str:
    """``column_ifexists(name, default)`` as the column, or as the default where there is none.

    ``columns_of`` tells the columns that a query results in: here that is asked of what stands
    before the operator that calls the function.
    """
    known: dict[tuple[int, int], frozenset[str]] = {}
    found = tokens(kql)
    pipelines = [_Pipeline(0)]
    for index, token in enumerate(found):
        _follow(pipelines, found, index)
        call = _call(found, index, kql)
        if call is None:
            continue
        begin, end = _input_of(pipelines, token)
        if (begin, end) not in known:
            earlier = kql[: pipelines[0].statement]
            known[begin, end] = frozenset(columns_of(f"{earlier}\n{kql[begin:end]}"))
        column = renamed.get(call.column, call.column)
        text = column if column in known[begin, end] else call.default
        kql = _put(kql, token.start, call.end, text)
    return kql


@dataclass(slots=True)
class _Pipeline:
    """What is known of the statement or parenthesis that a token is in."""

    start: int
    statement: int = 0
    pipe: int | None = None


@dataclass(frozen=True, slots=True)
class _Call:
    end: int
    column: str
    default: str


def _follow(pipelines: list[_Pipeline], found: Sequence[Token], index: int) -> None:
    """Takes note of a token that opens, closes, parts or continues a pipeline."""
    token, here = found[index], pipelines[-1]
    if token.kind == "string":
        return
    if token.text in _OPENING:
        pipelines.append(_Pipeline(token.end))
    elif token.text in _CLOSING and len(pipelines) > 1:
        pipelines.pop()
    elif token.text == "|":
        here.pipe = token.start
    elif token.text == ";":
        pipelines[-1] = _Pipeline(token.end, token.end)
    elif token.text == "=" and index >= 2 and found[index - 2].text == "let":
        here.start = token.end


def _input_of(pipelines: Sequence[_Pipeline], call: Token) -> tuple[int, int]:
    """Where the text stands whose rows the operator around ``call`` is given."""
    for pipeline in reversed(pipelines):
        if pipeline.pipe is not None:
            return pipeline.start, pipeline.pipe
    return pipelines[0].start, call.start


def _call(found: Sequence[Token], index: int, kql: str) -> _Call | None:
    """The call of ``column_ifexists("name", default)`` that a token begins, if it does."""
    opened, column, comma = ([*found[index + 1 : index + 4], *[Token("", "", 0)] * 3])[:3]
    if found[index].text not in _IF_EXISTS or (opened.text, comma.text) != ("(", ","):
        return None
    depth = 1
    for last in found[index + 4 :]:
        if last.kind != "string":
            depth += (last.text in _OPENING) - (last.text in _CLOSING)
        if depth == 0:
            name = unquoted(column) if column.kind == "string" else column.text
            return _Call(last.end, name, kql[comma.end : last.start].strip())
    return None


def _put(kql: str, start: int, end: int, text: str) -> str:
    """``text`` in place of a stretch that is at least as long; line breaks stay."""
    rest = "".join(c if c == "\n" else " " for c in kql[start + len(text) : end])
    return kql[:start] + text + rest + kql[end:]
