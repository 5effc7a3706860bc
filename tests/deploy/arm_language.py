"""Azure's template expressions, read and evaluated: enough of them for our templates.

https://learn.microsoft.com/azure/azure-resource-manager/templates/template-functions
"""

from __future__ import annotations

import functools
import ipaddress
import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

# ("text", "a") ("number", 1) ("call", "concat", […]) ("member", base, "name") ("index", base, node)
# and in the portal's forms ("name", "item") ("arrow", "item", body)
Node = tuple[Any, ...]
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+)|(?P<name>[A-Za-z_]\w*)|(?P<mark>=>|[()\[\],.]))"
)


class TemplateError(Exception):
    """What Azure would refuse; the message says what and where."""


def is_expression(value: object) -> bool:
    """Whether Azure evaluates a string of a template."""
    return (
        isinstance(value, str)
        and value.startswith("[")
        and not value.startswith("[[")
        and value.endswith("]")
    )


@functools.cache
def parse(text: str, *, form: bool = False) -> Node:
    """The inside of an expression's brackets; ``form``: of one in the portal's form.

    Raises TemplateError.
    """
    tokens: list[tuple[str, str]] = []
    at, text = 0, text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise TemplateError(f"cannot read {text[at : at + 30]!r}")
        tokens.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    node, rest = _parse(tokens)
    if rest:
        raise TemplateError(f"{rest[0][1]!r} after the end of {text[:60]!r}")
    if not form:
        _refuse_names(node)
    return node


def _refuse_names(node: Node) -> None:
    """A template has neither bare names nor arrows."""
    if node[0] in ("name", "arrow"):
        raise TemplateError(f"{node[1]} is not called")
    for part in node[1:]:
        for each in part if isinstance(part, list) else [part]:
            if isinstance(each, tuple):
                _refuse_names(each)


def _parse(tokens: list[tuple[str, str]]) -> tuple[Node, list[tuple[str, str]]]:
    if not tokens:
        raise TemplateError("an expression ends too early")
    (kind, word), rest = tokens[0], tokens[1:]
    node: Node
    if kind == "text":
        node = ("text", word[1:-1].replace("''", "'"))
    elif kind == "number":
        node = ("number", int(word))
    elif kind == "name" and rest[:1] == [("mark", "(")]:
        arguments, rest = _arguments(word, rest)
        node = ("call", word, arguments)
    elif kind == "name":
        node = ("name", word)
    elif word == "(" and [item for _, item in rest[1:3]] == [")", "=>"]:
        body, after = _parse(rest[3:])
        return ("arrow", rest[0][1], body), after
    else:
        raise TemplateError(f"{word!r} where a value should be")
    while rest and rest[0][1] in (".", "["):
        if rest[0][1] == ".":
            if len(rest) < 2 or rest[1][0] != "name":
                raise TemplateError("a dot without a name")
            node, rest = ("member", node, rest[1][1]), rest[2:]
        else:
            index, rest = _parse(rest[1:])
            node, rest = ("index", node, index), _expect("]", rest)
    return node, rest


def _arguments(
    name: str, tokens: list[tuple[str, str]]
) -> tuple[list[Node], list[tuple[str, str]]]:
    rest = _expect("(", tokens, f"{name} is not called")
    found: list[Node] = []
    while rest and rest[0][1] != ")":
        if found:
            rest = _expect(",", rest)
        node, rest = _parse(rest)
        found.append(node)
    return found, _expect(")", rest)


def _expect(mark: str, tokens: list[tuple[str, str]], problem: str = "") -> list[tuple[str, str]]:
    if not tokens or tokens[0][1] != mark:
        found = tokens[0][1] if tokens else "the end"
        raise TemplateError(problem or f"expected {mark!r}, found {found!r}")
    return tokens[1:]


class Evaluator:
    """Evaluates values of one template (outer or nested) with its parameters and variables.

    ``runtime`` answers the functions that ask Azure: ``reference``, ``list``, ``resourceGroup``…
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        variables: Mapping[str, Any],
        runtime: Mapping[str, Callable[..., Any]],
    ) -> None:
        self._parameters = {name.lower(): value for name, value in parameters.items()}
        self._variables = {name.lower(): value for name, value in variables.items()}
        self._computed: dict[str, Any] = {}
        self._runtime = {name.lower(): function for name, function in runtime.items()}

    def value(self, data: Any) -> Any:
        """``data`` with every expression in it computed."""
        if isinstance(data, dict):
            return {key: self.value(item) for key, item in data.items()}
        if isinstance(data, list):
            return [self.value(item) for item in data]
        if is_expression(data):
            return self._node(parse(data[1:-1]), {})
        if isinstance(data, str) and data.startswith("[["):
            return data[1:]
        return data

    def _variable(self, name: str) -> Any:
        if name.lower() not in self._computed:
            self._computed[name.lower()] = self.value(_named(self._variables, name, "variable"))
        return self._computed[name.lower()]

    def _node(self, node: Node, local: Mapping[str, Any]) -> Any:
        if node[0] in ("text", "number"):
            return node[1]
        if node[0] in ("member", "index"):
            base = self._node(node[1], local)
            key = node[2] if node[0] == "member" else self._node(node[2], local)
            return _member(base, key)
        return self._call(node[1].lower(), node[2], local)

    def _call(self, name: str, arguments: list[Node], local: Mapping[str, Any]) -> Any:
        if name == "if":
            condition, yes, no = arguments
            return self._node(yes if self._node(condition, local) else no, local)
        if name in ("and", "or"):
            wanted = [bool(self._node(argument, local)) for argument in arguments]
            return all(wanted) if name == "and" else any(wanted)
        if name == "lambda":
            names = [argument[1] for argument in arguments[:-1]]
            if again := [name for name in names if name in local]:
                raise TemplateError(f"lambda variable {again[0]} inside another of that name")
            return lambda *given: self._node(
                arguments[-1], {**local, **dict(zip(names, given, strict=False))}
            )
        values = [self._node(argument, local) for argument in arguments]
        if name == "lambdavariables":
            return local[values[0]]
        if name == "parameters":
            return _named(self._parameters, values[0], "parameter")
        if name == "variables":
            return self._variable(values[0])
        function = self._runtime.get(name) or _FUNCTIONS.get(name)
        if function is None:
            raise TemplateError(f"there is no function {name}")
        return function(*values)


def _named(there: Mapping[str, Any], name: str, what: str) -> Any:
    if name.lower() not in there:
        raise TemplateError(f"{what} {name} is not defined")
    return there[name.lower()]


def _member(base: Any, key: Any) -> Any:
    if isinstance(base, list):
        return base[key]
    for name, item in base.items() if isinstance(base, dict) else ():
        if name.lower() == str(key).lower():
            return item
    raise TemplateError(f"no member {key}")


def _try_member(base: Any, key: Any) -> Any:
    try:
        return _member(base, key)
    except TemplateError:
        return None


def _union(*values: Any) -> Any:
    if isinstance(values[0], dict):
        made: dict[str, Any] = {}
        for value in values:
            made.update(value)
        return made
    items: list[Any] = []
    for item in _concat(*values):
        if item not in items:
            items.append(item)
    return items


def _concat(*values: Any) -> Any:
    if values and isinstance(values[0], list):
        return [item for value in values for item in value]
    if any(isinstance(value, (dict, list)) for value in values):
        raise TemplateError("concat() of an object")
    return "".join(str(value) for value in values)


def _contains(container: Any, item: Any) -> bool:
    if isinstance(container, dict):  # names of members are found whatever their case
        return str(item).lower() in {name.lower() for name in container}
    return item in container


def _create_object(*members: Any) -> dict[str, Any]:
    return dict(zip(members[::2], members[1::2], strict=True))


def _hash(*values: Any) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, "|".join(map(str, values))).hex


def _length(value: Any) -> int:
    return len(value)


def _reduce(items: list[Any], start: Any, change: Callable[..., Any]) -> Any:
    for item in items:
        start = change(start, item)
    return start


def _to_object(
    items: list[Any], key: Callable[..., Any], value: Callable[..., Any] = lambda item: item
) -> dict[str, Any]:
    return {key(item): value(item) for item in items}


def _cidr_subnet(network: str, size: int, number: int) -> str:
    return str(list(ipaddress.ip_network(network).subnets(new_prefix=size))[number])


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": lambda one, other: one + other,
    "cidrsubnet": _cidr_subnet,
    "coalesce": lambda *values: next((value for value in values if value is not None), None),
    "concat": _concat,
    "contains": _contains,
    "createarray": lambda *values: list(values),
    "createobject": _create_object,
    "empty": lambda value: value is None or len(value) == 0,
    "endswith": lambda text, end: text.lower().endswith(end.lower()),
    "equals": lambda one, other: one == other,
    "false": lambda: False,
    "filter": lambda items, keep: [item for item in items if keep(item)],
    "flatten": lambda items: [each for item in items for each in item],
    "guid": lambda *values: str(uuid.UUID(_hash(*values))),
    "items": lambda value: [{"key": name, "value": value[name]} for name in sorted(value)],
    "join": lambda items, between: between.join(items),
    "length": _length,
    "map": lambda items, change: [change(item) for item in items],
    "not": lambda value: not value,
    "null": lambda: None,
    "reduce": _reduce,
    "replace": lambda text, old, new: text.replace(old, new),
    "split": lambda text, between: text.split(between),
    "startswith": lambda text, start: text.lower().startswith(start.lower()),
    "string": lambda value: value if isinstance(value, str) else json.dumps(value),
    "tolower": lambda text: text.lower(),
    "toobject": _to_object,
    "true": lambda: True,
    "tryget": _try_member,
    "union": _union,
    "uniquestring": lambda *values: _hash(*values)[:13],
}
