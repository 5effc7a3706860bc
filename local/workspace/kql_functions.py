"""Functions with parameters: each call becomes a ``let`` statement before the query.

The engine has no functions that result in tables. Put a function's body in front of the query
with its arguments written in, and the name of that statement where the call stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from local.workspace.kql_rewrite import INGESTION_TIME, replace
from local.workspace.kql_tokens import Token, closing, split, tokens, unquoted
from tools.content import Parser

_IPV4_PREFIX = "has_any_ipv4_prefix"
# What our parsers read where their table is not.
_NO_TABLE = "datatable(TimeGenerated: datetime)[]"


@dataclass(frozen=True, slots=True)
class _Call:
    """A call in a text: the function, its place, and its arguments as KQL."""

    alias: str
    start: int
    end: int
    arguments: Mapping[str, str]


def with_functions(kql: str, functions: Mapping[str, Parser]) -> tuple[str, str]:
    """The ``let`` statements that a query's calls need, on one line, and the query without calls.

    The query keeps every character's place. Raises ``ValueError`` for arguments that the function
    lacks.
    """
    inlined = _Inlined(functions)
    for call in reversed(_calls(kql, functions)):
        kql = replace(kql, call.start, call.end, inlined.add(call))
    return " ".join(f"{each};" for each in inlined.statements), kql


@dataclass
class _Inlined:
    functions: Mapping[str, Parser]
    statements: list[str] = field(default_factory=list)
    _count: int = 0

    def add(self, call: _Call) -> str:
        """Add the statements of one call; return the name of its result."""
        self._count += 1
        number = self._count
        function = self.functions[call.alias]
        values = {each.name: each.default for each in function.parameters}
        if unknown := call.arguments.keys() - values.keys():
            raise ValueError(f"{call.alias} has no parameter {min(unknown)}")
        body = self._body(_flat(function.body), values | dict(call.arguments))
        *lets, last = _statements(body)
        names = {tokens(each)[1].text: f"{tokens(each)[1].text}__{number}" for each in lets}
        self.statements += [_renamed(each, names) for each in lets]
        result = f"f__{number}"
        self.statements.append(f"let {result} = {_with_arrival(_renamed(last, names))}")
        return result

    def _body(self, body: str, values: Mapping[str, str]) -> str:
        """A body with its parameters' values and its calls' results written in."""
        for call in reversed(_calls(body, self.functions)):
            arguments = {name: _renamed(text, values) for name, text in call.arguments.items()}
            name = self.add(_Call(call.alias, call.start, call.end, arguments))
            body = body[: call.start] + name + body[call.end :]
        return _with_prefixes(_renamed(body, values))


def _calls(kql: str, functions: Mapping[str, Parser]) -> list[_Call]:
    """The calls in a text, outermost only: with arguments, or by the bare name."""
    found, calls, index = tokens(kql), list[_Call](), 0
    while index < len(found):
        token = found[index]
        index += 1
        member = index > 1 and found[index - 2].text == "."
        if token.kind != "name" or token.text not in functions or member:
            continue
        end, arguments = token.end, dict[str, str]()
        if index < len(found) and found[index].text == "(":
            parts, index = _arguments(found, index)
            end = found[index - 1].end
            order = [each.name for each in functions[token.text].parameters]
            for position, part in enumerate(parts):
                named = len(part) > 2 and part[1].text == "=" and part[2].text != "="
                name = part[0].text if named else order[position]
                arguments[name] = kql[part[2 if named else 0].start : part[-1].end]
        calls.append(_Call(token.text, token.start, end, arguments))
    return calls


def _arguments(found: Sequence[Token], opened: int) -> tuple[list[list[Token]], int]:
    """The tokens of each argument of the parenthesis at ``opened``, and the place after it."""
    ends = closing(found, opened)
    if ends is None:
        raise ValueError("the query ends inside a function's arguments")
    return split(found[opened + 1 : ends]), ends + 1


def _flat(kql: str) -> str:
    """A query on one line without comments."""
    text, end = "", 0
    for token in tokens(kql):
        text += (" " if token.start > end and text else "") + token.text
        end = token.end
    return text


def _statements(kql: str) -> list[str]:
    """The statements of a query, the tabular one last."""
    parts, start = list[str](), 0
    for token in tokens(kql):
        if token.kind == "mark" and token.text == ";":
            parts.append(kql[start : token.start].strip())
            start = token.end
    return [*parts, kql[start:].strip()]


def _renamed(kql: str, names: Mapping[str, str]) -> str:
    """A text with names replaced where they stand by themselves: not members, nor declared."""
    found = tokens(kql)
    for index in reversed(range(len(found))):
        token = found[index]
        member = index > 0 and found[index - 1].text == "."
        declared = index + 1 < len(found) and found[index + 1].text == ":"
        if token.kind == "name" and token.text in names and not member and not declared:
            kql = kql[: token.start] + names[token.text] + kql[token.end :]
    return kql


def _with_arrival(kql: str) -> str:
    """A pipeline that keeps the time of arrival: in its ``project``, and without its table."""
    depth, last = 0, None
    for token in tokens(kql):
        if token.kind == "mark":
            depth += (token.text in "([{") - (token.text in ")]}")
        elif depth == 0 and token.text == "project":
            last = token
    if last is None:
        return kql
    kql = f"{kql[: last.end]} {INGESTION_TIME}, {kql[last.end :]}"
    return kql.replace(_NO_TABLE, f"{_NO_TABLE[:-3]}, {INGESTION_TIME}: datetime)[]")


def _with_prefixes(kql: str) -> str:
    """``has_any_ipv4_prefix()`` of a literal list as a match of a regular expression."""
    found = tokens(kql)
    for index in reversed(range(len(found) - 1)):
        if found[index].text != _IPV4_PREFIX:
            continue
        (text, prefixes), after = _arguments(found, index + 1)
        value = kql[text[0].start : text[-1].end]
        wanted = [unquoted(token) for token in prefixes if token.kind == "string"]
        ends = [re.escape(each) + ("" if each.endswith(".") else "($|[^0-9])") for each in wanted]
        pattern = f"(^|[^0-9.])({'|'.join(ends)})"
        test = f"({value} matches regex @'{pattern}')" if wanted else "false"
        kql = kql[: found[index].start] + test + kql[found[after - 1].end :]
    return kql
