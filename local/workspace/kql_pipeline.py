"""The pipelines of a query: each operator, its input, and where both stand in the text."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from local.workspace.kql_tokens import Token, closing, split, tokens


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator of a pipeline, its places counted in characters.

    ``name`` has its hyphens. ``start`` is where the name stands, ``pipe`` where the pipe before it
    does (None for a pipeline's source), ``end`` the place after it. ``pipeline`` is where its
    pipeline begins, ``statement`` where its statement does, ``depth`` how many brackets are open.
    """

    name: str
    start: int
    pipe: int | None
    end: int
    pipeline: int
    statement: int
    depth: int


@dataclass(slots=True)
class _Frame:
    """The pipeline of a statement or of a bracket while its tokens are read."""

    statement: int
    pipeline: int
    pipe: int | None = None
    first: Token | None = None


def operators(kql: str) -> list[Operator]:
    """Every operator of the query and every source, in the order of their names' places."""
    found: list[Operator] = []
    words = hyphenated(tokens(kql))
    frames = [_Frame(0, 0)]

    def finish(end: int) -> None:
        frame = frames[-1]
        if frame.first is not None:
            found.append(
                Operator(
                    frame.first.text,
                    frame.first.start,
                    frame.pipe,
                    end,
                    frame.pipeline,
                    frame.statement,
                    len(frames) - 1,
                )
            )
        frame.first = None

    for index, token in enumerate(words):
        mark = token.text if token.kind == "mark" else ""
        if token.nesting < 0 and len(frames) > 1:
            finish(token.start)
            frames.pop()
            continue
        frame = frames[-1]
        if mark == "|":
            finish(token.start)
            frame.pipe = token.start
        elif mark == ";":
            finish(token.start)
            frames[-1] = _Frame(token.end, token.end)
        elif mark == "=" and index >= 2 and words[index - 2].text == "let":
            frame.first, frame.pipeline = None, token.end
        elif frame.first is None:
            frame.first = token
        if token.nesting > 0:
            frames.append(_Frame(token.end if mark == "{" else frame.statement, token.end))
    while frames:
        finish(len(kql))
        frames.pop()
    return sorted(found, key=lambda operator: operator.start)


def hyphenated(found: Sequence[Token]) -> list[Token]:
    """The tokens with an operator's name, as in make-series, as one."""
    words: list[Token] = []
    for token in found:
        after_hyphen = (
            len(words) >= 2
            and token.kind == "name"
            and words[-1].text == "-"
            and words[-1].end == token.start
            and words[-2].end == words[-1].start
            and (len(words) == 2 or words[-3].text == "|")
        )
        if after_hyphen:
            words[-2:] = [Token("name", f"{words[-2].text}-{token.text}", words[-2].start)]
        else:
            words.append(token)
    return words


@dataclass(frozen=True, slots=True)
class Call:
    """A function's call: its name's place, the place after it, and its arguments' texts."""

    name: str
    start: int
    end: int
    arguments: tuple[str, ...]


def calls(kql: str, names: Iterable[str], start: int = 0, end: int | None = None) -> list[Call]:
    """The calls of the functions in a stretch of the query, in order; nested ones too."""
    wanted = frozenset(names)
    within = [t for t in tokens(kql) if t.start >= start and (end is None or t.end <= end)]
    found: list[Call] = []
    for index, (name, opened) in enumerate(itertools.pairwise(within)):
        if name.kind != "name" or name.text not in wanted or opened.text != "(":
            continue
        ends = closing(within, index + 1)
        if ends is not None:
            parts = split(within[index + 2 : ends])
            texts = tuple(kql[part[0].start : part[-1].end] for part in parts)
            found.append(Call(name.text, name.start, within[ends].end, texts))
    return found
