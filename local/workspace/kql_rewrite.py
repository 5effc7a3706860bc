"""KQL as text: rewrites that keep every character's place.

Rewrite functions of Log Analytics that the engine lacks into ones that it has, in as many
characters, so that the line and column of an error are those of the query as typed.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from local.workspace.kql_tokens import Token, closing, tokens, unquoted

# As long as "ingestion_time()", which it replaces.
INGESTION_TIME = "__ingestion_time"

_IF_EXISTS = frozenset({"column_ifexists", "columnifexists"})


def with_ingestion_time(kql: str) -> str:
    """``ingestion_time()`` as the column in which the workspace keeps it."""
    found = tokens(kql)
    for name, opened, closed in zip(found, found[1:], found[2:], strict=False):
        if (name.text, opened.text, closed.text) == ("ingestion_time", "(", ")"):
            kql = replace(kql, name.start, closed.end, INGESTION_TIME)
    return kql


def without_calls(kql: str, names: Container[str]) -> str:
    """Parsers called as functions, ``Name()``, by their bare names."""
    found = tokens(kql)
    for name, opened, closed in zip(found, found[1:], found[2:], strict=False):
        if name.text in names and (opened.text, closed.text) == ("(", ")"):
            kql = replace(kql, name.start, closed.end, name.text)
    return kql


def without_absent_arms(kql: str, known: Container[str]) -> str:
    """Fuzzy unions without their arms in parentheses that read an unknown table.

    ``union isfuzzy=true`` leaves out tables that do not exist; the engine does so for bare names
    alone. The first arm is kept.
    """
    found = tokens(kql)
    lets = {name.text for let, name in pairwise(found) if let.text == "let"}
    for start in [index for index, token in enumerate(found) if token.text == "isfuzzy"]:
        for first, last in _arms(found, start):
            name, after = found[first + 1], found[first + 2]
            table = name.kind == "name" and after.text in ("|", ")")
            if table and name.text not in known and name.text not in lets:
                kql = replace(kql, found[first - 1].start, found[last].end, "")
    return kql


def _arms(found: Sequence[Token], start: int) -> Iterator[tuple[int, int]]:
    """The first and last token of each arm in parentheses behind a comma, of a union's options."""
    opened: list[int] = []
    for index in range(start, len(found)):
        token = found[index]
        if token.nesting > 0:
            opened.append(index)
        elif token.nesting < 0 and opened:
            first = opened.pop()
            if not opened and found[first - 1].text == ",":
                yield first, index
        elif not opened and token.text in ("|", ";", ")"):
            return


def with_names(kql: str, renamed: Mapping[str, str]) -> str:
    """Columns by other names of the same length, where they stand as names or in brackets."""
    found = tokens(kql)
    for index, token in enumerate(found):
        bracketed = token.kind == "string" and index and found[index - 1].text == "["
        bare = token.kind == "name" and not (index and found[index - 1].text == ".")
        name = unquoted(token) if bracketed else token.text
        if (bare or bracketed) and name in renamed:
            kql = replace(kql, token.start, token.end, token.text.replace(name, renamed[name]))
    return kql


def with_existing_columns(
    kql: str, columns_of: Callable[[str], Sequence[str]], renamed: Mapping[str, str]
) -> str:
    """``column_ifexists(name, default)`` as the column, or as the default where there is none.

    ``columns_of`` returns the columns of a query's result: here of the pipeline up to the operator
    that calls the function.
    """
    known: dict[tuple[int, int], frozenset[str]] = {}
    found = tokens(kql)
    pipelines = [_Pipeline(0)]
    for index, token in enumerate(found):
        _track(pipelines, found, index)
        call = _call(found, index, kql)
        if call is None:
            continue
        begin, end = _input_of(pipelines, token)
        if (begin, end) not in known:
            earlier = _needed(kql[: pipelines[0].statement], kql[begin:end])
            known[begin, end] = frozenset(columns_of(f"{earlier}\n{kql[begin:end]}"))
        column = renamed.get(call.column, call.column)
        text = column if column in known[begin, end] else call.default
        kql = replace(kql, token.start, call.end, text)
    return kql


def _needed(statements: str, query: str) -> str:
    """The ``let`` statements that a query uses: the others need no translation."""
    parts, start = list[str](), 0
    for token in tokens(statements):
        if token.kind == "mark" and token.text == ";":
            parts.append(statements[start : token.end])
            start = token.end
    kept, used = list[str](), {token.text for token in tokens(query)}
    for part in reversed(parts):
        words = [token.text for token in tokens(part)]
        if words[0] != "let" or words[1] in used:
            kept.append(part)
            used.update(words)
    return "".join(reversed(kept))


@dataclass(slots=True)
class _Pipeline:
    """The statement or parenthesis around a token: its start, and its last pipe."""

    start: int
    statement: int = 0
    pipe: int | None = None


@dataclass(frozen=True, slots=True)
class _Call:
    end: int
    column: str
    default: str


def _track(pipelines: list[_Pipeline], found: Sequence[Token], index: int) -> None:
    """Update the stack of pipelines for a token that opens, closes, ends or continues one."""
    token, here = found[index], pipelines[-1]
    if token.nesting > 0:
        pipelines.append(_Pipeline(token.end))
    elif token.nesting < 0 and len(pipelines) > 1:
        pipelines.pop()
    elif token.text == "|":
        here.pipe = token.start
    elif token.text == ";":
        pipelines[-1] = _Pipeline(token.end, token.end)
    elif token.text == "=" and index >= 2 and found[index - 2].text == "let":
        here.start = token.end


def _input_of(pipelines: Sequence[_Pipeline], call: Token) -> tuple[int, int]:
    """The place of the text whose rows are the input of the operator around ``call``."""
    for pipeline in reversed(pipelines):
        if pipeline.pipe is not None:
            return pipeline.start, pipeline.pipe
    return pipelines[0].start, call.start


def _call(found: Sequence[Token], index: int, kql: str) -> _Call | None:
    """The call of ``column_ifexists("name", default)`` that begins at a token, or None."""
    opened, column, comma = ([*found[index + 1 : index + 4], *[Token("", "", 0)] * 3])[:3]
    if found[index].text not in _IF_EXISTS or (opened.text, comma.text) != ("(", ","):
        return None
    ends = closing(found, index + 1)
    if ends is None:
        return None
    name = unquoted(column) if column.kind == "string" else column.text
    return _Call(found[ends].end, name, kql[comma.end : found[ends].start].strip())


def replace(kql: str, start: int, end: int, text: str) -> str:
    """Replace a stretch by ``text``, which is no longer than it; keep its line breaks."""
    rest = "".join(c if c == "\n" else " " for c in kql[start + len(text) : end])
    return kql[:start] + text + rest + kql[end:]
