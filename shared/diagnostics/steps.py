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


class StepFailed(Exception):
    """A step failed for a known reason; ``advice`` says what to do."""

    def __init__(self, detail: str, advice: str) -> None:
        self.advice = advice
        super().__init__(detail)


class StepSkipped(Exception):
    """A step does not apply; the message says why."""
