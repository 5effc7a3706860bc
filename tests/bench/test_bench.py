"""The benchmarks at their smallest size: that they run, and that every record arrives once."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import __main__ as bench
from bench.measures import BenchmarkInvalid, Row, check, percentile
from bench.world import World


@pytest.mark.slow
def test_every_benchmark_runs_and_finds_each_record_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Sizes too small to tell a speed; a lost or repeated record raises ``BenchmarkInvalid``."""
    page = tmp_path / "performance.md"
    assert bench.main(["--quick", "--write", str(page)]) == 0
    printed = capsys.readouterr().out
    assert all(f"| {point} |" in printed for point in range(1, 12))
    assert not page.exists(), "a quick run's numbers are not for the page"


@pytest.mark.parametrize(
    "received",
    [
        {},
        {"records": 9, "distinct": 9},
        {"records": 11, "distinct": 10},
        {"records": 10, "distinct": 9},
    ],
)
def test_a_lost_or_repeated_record_is_no_result(received: dict[str, int]) -> None:
    """However quick it was."""

    class Servers(World):
        def __init__(self) -> None:
            """None are needed."""

        def received(self, stream: str) -> dict[str, int]:
            return received

    with pytest.raises(BenchmarkInvalid):
        check(Servers(), "Custom-SentinelOneActivities", 10)


def test_a_percentile_is_a_time_that_was_measured() -> None:
    """The 99th of a hundred is the last but one."""
    assert percentile([float(n) for n in range(1, 101)], 99) == 99.0
    assert percentile([3.0], 99) == 3.0


def test_the_page_is_written_between_its_marks(tmp_path: Path) -> None:
    """The text around the marks stays."""
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{bench._BEGIN}\nlast year\n{bench._END}\nafter\n", encoding="utf-8")
    bench.write(page, bench.table([Row("1", "what", "must", "is", False)]))
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "last year" not in text
    assert "| 1 | what | must | is | **no** |" in text
