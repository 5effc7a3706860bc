"""The pipelines of a query: each operator, its input, and where both stand in the text."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from local.workspace.kql_rewrite import Token, tokens

_OPENING, _CLOSING = "([{", ")]}"


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
        if mark and mark in _CLOSING and len(frames) > 1:
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
        if mark and mark in _OPENING:
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


def split_arguments(kql: str, found: Iterable[Token]) -> list[tuple[int, int]]:
    """The places of the stretches between the commas that are in no bracket."""
    stretches: list[tuple[int, int]] = []
    depth, start, end = 0, None, 0
    for token in found:
        mark = token.text if token.kind == "mark" else ""
        if mark == "," and depth == 0 and start is not None:
            stretches.append((start, token.start))
            start = None
            continue
        depth += bool(mark and mark in _OPENING) - bool(mark and mark in _CLOSING)
        start, end = token.start if start is None else start, token.end
    if start is not None:
        stretches.append((start, end))
    return [(a, a + len(kql[a:b].rstrip())) for a, b in stretches]


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
        depth = 0
        for last in range(index + 1, len(within)):
            mark = within[last].text if within[last].kind == "mark" else ""
            depth += bool(mark and mark in _OPENING) - bool(mark and mark in _CLOSING)
            if depth == 0:
                inner = within[index + 2 : last]
                texts = tuple(kql[a:b] for a, b in split_arguments(kql, inner))
                found.append(Call(name.text, name.start, within[last].end, texts))
                break
    return found
