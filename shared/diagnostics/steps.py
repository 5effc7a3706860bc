"""Result of a connection test, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PASSED = "passed"
FAILED = "failed"
SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the section ``part``: its result and duration, and advice where it failed."""

    part: str
    name: str
    result: str
    seconds: float = 0.0
    detail: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class TestReport:
    """Report of a test of ``tested``, one of ``connection_test.choices``; ``seconds`` in all."""

    tested: str
    passed: bool
    seconds: float
    steps: Sequence[Step]
