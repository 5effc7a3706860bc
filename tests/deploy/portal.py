"""The portal's form in memory: what its outputs are after what a person did and left alone.

It is as strict as the portal was seen to be: every argument of a function is computed, a member
of nothing is an error, and ``and``, ``or``, ``not`` and ``if`` take nothing but true and false.
https://learn.microsoft.com/azure/azure-resource-manager/managed-applications/create-ui-definition-functions
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.deploy.arm_language import Node, TemplateError, is_expression, parse

Json = dict[str, Any]


class Portal:
    """A form being filled in: ``filled`` has values by step and element.

    ``untouched`` is the value of a choice of many that nobody opened: nothing, an array or a text,
    as it has been seen.
    """

    def __init__(
        self,
        form: Json,
        filled: Mapping[tuple[str, str], Any],
        answers: Mapping[str, Any],
        untouched: Any = None,
    ) -> None:
        self._form = form["parameters"]
        self._filled, self._answers, self._untouched = filled, answers, untouched
        self._locals: dict[str, Any] = {}

    def outputs(self) -> Json:
        """The template's parameters, as the form gives them."""
        return {name: self._value(text) for name, text in self._form["outputs"].items()}

    def choices(self, step: str, name: str) -> list[Json]:
        """What an element lets a person choose among."""
        offered: list[Json] = self._value(self._element(step, name)["constraints"]["allowedValues"])
        return offered

    def requested(self, step: str, name: str) -> str:
        """The address that an ArmApiControl asks."""
        return str(self._value(self._element(step, name)["request"]["path"]))

    def _element(self, step: str, name: str) -> Json:
        (steps,) = [each for each in self._form["steps"] if each["name"] == step]
        (element,) = [each for each in steps["elements"] if each["name"] == name]
        return dict(element)

    def _shown(self, step: str, element: Json) -> Any:
        """An element's value; a hidden one has none."""
        if element["type"] == "Microsoft.Solutions.ArmApiControl":
            return self._answers.get(element["name"])
        if is_expression(element.get("visible", True)) and not self._value(element["visible"]):
            return None
        if (step, element["name"]) in self._filled:
            return self._filled[step, element["name"]]
        if element.get("multiselect"):
            return self._untouched
        if element["type"] == "Microsoft.Common.DropDown":
            offered = element["constraints"]["allowedValues"]
            default = element["defaultValue"]
            named = {each["label"]: each["value"] for each in offered if isinstance(each, dict)}
            return named.get(default)
        return element.get("defaultValue")

    def _value(self, text: Any) -> Any:
        return self._node(parse(text[1:-1], form=True)) if is_expression(text) else text

    def _node(self, node: Node) -> Any:
        kind = node[0]
        if kind in ("text", "number"):
            return node[1]
        if kind == "name":
            constants = {"true": True, "false": False, **self._locals}
            if node[1] not in constants:
                raise TemplateError(f"{node[1]} is not called")
            return constants[node[1]]
        if kind == "arrow":
            return lambda item: self._with(node[1], item, node[2])
        if kind == "member" and node[1][:2] == ("call", "steps"):
            ((_, step),) = node[1][2]
            return self._shown(step, self._element(step, node[2]))
        if kind == "member":
            base = self._node(node[1])
            if not isinstance(base, dict):
                raise TemplateError(f"no member {node[2]} of {base!r}")
            return base.get(node[2])
        if kind == "call":
            return self._call(node[1], [self._node(argument) for argument in node[2]])
        raise TemplateError(f"no {kind} in a form")

    def _with(self, name: str, item: Any, body: Node) -> Any:
        before, self._locals = self._locals, {**self._locals, name: item}
        try:
            return self._node(body)
        finally:
            self._locals = before

    def _call(self, name: str, values: list[Any]) -> Any:
        functions: dict[str, Callable[..., Any]] = {
            **_FUNCTIONS,
            "location": lambda: "northeurope",
            "resourceGroup": lambda: {"name": "security", "mode": "Existing"},
            "subscription": lambda: {"id": "/subscriptions/1"},
        }
        if name not in functions:
            raise TemplateError(f"a form knows no function {name}")
        return functions[name](*values)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TemplateError(f"{value!r} is neither true nor false")
    return value


def _string(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": lambda *values: all(list(map(_boolean, values))),
    "or": lambda *values: any(list(map(_boolean, values))),
    "not": lambda value: not _boolean(value),
    "if": lambda condition, yes, no: yes if _boolean(condition) else no,
    "coalesce": lambda *values: next((value for value in values if value is not None), None),
    "concat": lambda *values: "".join(_texts(values)),
    "equals": lambda one, other: one == other,
    "filter": lambda items, keep: [item for item in items if _boolean(keep(item))],
    "first": lambda items: items[0] if items else None,
    "map": lambda items, change: [change(item) for item in items],
    "parse": json.loads,
    "skip": lambda items, count: items[count:],
    "split": lambda text, between: text.split(between),
    "startsWith": lambda text, start: text.startswith(start),
    "string": _string,
}


def _texts(values: tuple[Any, ...]) -> tuple[str, ...]:
    if strange := [value for value in values if not isinstance(value, str)]:
        raise TemplateError(f"concat of {strange[0]!r}")
    return values
