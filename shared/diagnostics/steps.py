"""What a connection test found, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PASSED = "passed"
FAILED = "failed"
SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of ``part``: how it ended, in how many seconds, and what to do where it failed."""

    part: str
    name: str
    result: str
    seconds: float = 0.0
    detail: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class TestReport:
    """A whole test of ``tested`` (all, sentinelone, …)."""

    tested: str
    passed: bool
    seconds: float
    steps: Sequence[Step]
