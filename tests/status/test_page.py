"""What can be known of the page without a browser: contrast, words, numbers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.status.page import style
from shared.telemetry.humanize import many, size, span


def _palettes() -> list[dict[str, str]]:
    """The light and the dark colours of page.css."""
    found = re.findall(r":root \{(.+?)\}", style(), re.DOTALL)
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in found]


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    """https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio"""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("palette", _palettes(), ids=["light", "dark"])
def test_every_text_has_the_contrast_that_accessibility_asks_for(palette: dict[str, str]) -> None:
    """At least 4.5 to 1 for each colour of text on each ground that it stands on."""
    pairs = [(text, ground) for text in ("ink", "muted") for ground in ("card", "ground")]
    pairs += [(state, f"{state}-soft") for state in ("ok", "busy", "late", "failing", "off")]
    pairs += [("button-ink", "button"), ("button", "card")]
    low = {pair: _contrast(palette[pair[0]], palette[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in low.items() if ratio < 4.5} == {}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "1 minute"),
        (3_599, "59 minutes"),
        (3_600, "1 hour"),
        (9_000, "2 hours 30 minutes"),
        (90_000, "1 day 1 hour"),
        (86_400 + 120, "1 day"),
    ],
)
def test_spans_read_as_people_say_them(seconds: float, words: str) -> None:
    """One or two units, the largest first."""
    assert span(seconds) == words


@given(st.floats(min_value=0, max_value=1e9))
def test_a_span_never_says_more_than_two_things(seconds: float) -> None:
    """However long, at most two numbers, none of them zero beside another."""
    numbers = re.findall(r"\d+", span(seconds))
    assert 1 <= len(numbers) <= 2
    assert "0" not in numbers or len(numbers) == 1


def test_sizes_and_counts_read_well() -> None:
    """Decimal units, and no plural of one."""
    assert [size(n) for n in (0, 999, 1_000, 12_345, 999_950, 5_000_000_000)] == [
        "0 B",
        "999 B",
        "1.0 KB",
        "12.3 KB",
        "1.0 MB",
        "5.0 GB",
    ]
    assert (many(1, "record"), many(2_000, "record")) == ("1 record", "2,000 records")
