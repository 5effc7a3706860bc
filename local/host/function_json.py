"""The app's functions, loaded and called by their function.json as the host does."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import logging
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from local.host.ncrontab import Schedule

logger = logging.getLogger("host")


class FunctionInvalid(Exception):
    """A folder that the Functions host would not load; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """The outcome of a call: its result or its error, and its duration in seconds."""

    function: str
    seconds: float
    result: Any = None
    error: Exception | None = None

    @property
    def ok(self) -> bool:
        """Whether it returned."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class Function:
    """A function's folder: its trigger's binding, and its entry point."""

    name: str
    trigger: dict[str, Any]
    entry_point: Callable[..., Any]
    _began: list[float] = field(default_factory=list, repr=False)

    @property
    def kind(self) -> str:
        """timerTrigger, httpTrigger or queueTrigger."""
        return str(self.trigger["type"])

    @property
    def schedule(self) -> Schedule:
        """A timer's schedule."""
        return Schedule.parse(resolved(str(self.trigger["schedule"])))

    def running_seconds(self) -> float | None:
        """For how long its oldest call has run, or None while it has none."""
        began = list(self._began)
        return time.monotonic() - min(began) if began else None

    def invoke(self, argument: object) -> Invocation:
        """Call it; log and return its error, as Azure does."""
        logger.info("Executing %s", self.name)
        started = time.monotonic()
        self._began.append(started)
        try:
            result = self.entry_point(**{self.trigger["name"]: argument})
            if inspect.isawaitable(result):
                result = asyncio.run(_awaited(result))
        except Exception as error:  # noqa: BLE001 - a host outlives any error of a function
            seconds = time.monotonic() - started
            logger.error("Executed %s (Failed, %.1f s): %s", self.name, seconds, error)
            return Invocation(self.name, seconds, error=error)
        finally:
            self._began.remove(started)
        seconds = time.monotonic() - started
        logger.info("Executed %s (Succeeded, %.1f s)", self.name, seconds)
        return Invocation(self.name, seconds, result)


async def _awaited(result: Awaitable[Any]) -> Any:
    """What an ``async def`` function returns; each call here has its own event loop."""
    return await result


def load(root: Path) -> dict[str, Function]:
    """Every folder with a function.json, by name. Raises FunctionInvalid."""
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return {path.parent.name: _load(path) for path in sorted(root.glob("*/function.json"))}


def _load(path: Path) -> Function:
    name = path.parent.name
    declared = json.loads(path.read_text(encoding="utf-8"))
    triggers = [each for each in declared["bindings"] if each["type"].endswith("Trigger")]
    if len(triggers) != 1:
        raise FunctionInvalid(f"{name} has {len(triggers)} triggers; a function has one.")
    module = _module(name, path.parent / declared.get("scriptFile", "__init__.py"))
    entry_point = getattr(module, declared.get("entryPoint", "main"), None)
    if not callable(entry_point):
        raise FunctionInvalid(f"{name} has no function {declared.get('entryPoint', 'main')}.")
    return Function(name, triggers[0], entry_point)


def _module(name: str, script: Path) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(
        name, script, submodule_search_locations=[str(script.parent)]
    )
    if spec is None or spec.loader is None or not script.exists():
        raise FunctionInvalid(f"{name} has no script {script.name}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def resolved(text: str) -> str:
    """Replace `%Setting%` by the app setting; raise FunctionInvalid where it is missing."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise FunctionInvalid(f"%{found[1]}% does not resolve: the app setting is missing.")
        return os.environ[found[1]]

    return re.sub(r"%([^%]+)%", value, text)
